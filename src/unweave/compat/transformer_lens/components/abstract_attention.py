"""Attention: what every kind of it has."""

from __future__ import annotations

from unweave.model.attention import Attention as AbstractAttention

__all__ = ["AbstractAttention"]
