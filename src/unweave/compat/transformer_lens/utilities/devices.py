"""Which device to use."""

from __future__ import annotations

from unweave.compat.devices import ModelWithCfg, get_device, move_to_and_update_config, warn_if_mps

__all__ = ["ModelWithCfg", "get_device", "move_to_and_update_config", "warn_if_mps"]
