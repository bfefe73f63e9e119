"""BERT's head for pairs of sentences."""

from __future__ import annotations

from unweave.model.encoder_parts import BertNSPHead

__all__ = ["BertNSPHead"]
