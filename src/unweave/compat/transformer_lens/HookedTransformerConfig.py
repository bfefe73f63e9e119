"""The config, under the module name it had until 2.x."""

from __future__ import annotations

from unweave.compat.transformer_lens.config.hooked_transformer_config import HookedTransformerConfig

__all__ = ["HookedTransformerConfig"]
