"""What stands in the place of an MLP: for annotations, MLP itself."""

from __future__ import annotations

from unweave.model.mlp import MLP as CanBeUsedAsMLP

__all__ = ["CanBeUsedAsMLP"]
