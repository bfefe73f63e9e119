"""Attention."""

from __future__ import annotations

from unweave.model.attention import Attention

__all__ = ["Attention"]
