"""Learned positions."""

from __future__ import annotations

from unweave.model.positions import PosEmbed

__all__ = ["PosEmbed"]
