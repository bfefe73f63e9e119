"""LayerNorm."""

from __future__ import annotations

from unweave.model.norm import LayerNorm

__all__ = ["LayerNorm"]
