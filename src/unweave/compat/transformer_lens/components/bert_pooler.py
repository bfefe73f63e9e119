"""BERT's first position."""

from __future__ import annotations

from unweave.model.encoder_parts import BertPooler

__all__ = ["BertPooler"]
