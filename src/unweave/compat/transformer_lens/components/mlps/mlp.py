"""The MLP."""

from __future__ import annotations

from unweave.model.mlp import MLP

__all__ = ["MLP"]
