"""A layer."""

from __future__ import annotations

from unweave.model.block import TransformerBlock

__all__ = ["TransformerBlock"]
