"""BERT's head for masked words."""

from __future__ import annotations

from unweave.model.encoder_parts import BertMLMHead

__all__ = ["BertMLMHead"]
