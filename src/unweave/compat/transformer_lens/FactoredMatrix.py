"""Products of two matrices that are never multiplied out."""

from __future__ import annotations

from unweave.core.factored_matrix import FactoredMatrix

__all__ = ["FactoredMatrix"]
