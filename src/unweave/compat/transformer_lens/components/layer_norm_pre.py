"""LayerNorm without weights."""

from __future__ import annotations

from unweave.model.norm import LayerNormPre

__all__ = ["LayerNormPre"]
