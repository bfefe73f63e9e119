"""BERT's layer."""

from __future__ import annotations

from unweave.model.block import PostNormBlock as BertBlock

__all__ = ["BertBlock"]
