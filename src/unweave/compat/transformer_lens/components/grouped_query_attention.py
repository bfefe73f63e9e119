"""Attention in groups."""

from __future__ import annotations

from unweave.model.attention import GroupedQueryAttention

__all__ = ["GroupedQueryAttention"]
