"""The gated MLP."""

from __future__ import annotations

from unweave.model.mlp import GatedMLP

__all__ = ["GatedMLP"]
