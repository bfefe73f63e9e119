"""BERT's embeddings."""

from __future__ import annotations

from unweave.model.encoder_parts import BertEmbed

__all__ = ["BertEmbed"]
