"""BERT."""

from __future__ import annotations

from unweave.model.encoder import HookedEncoder

__all__ = ["HookedEncoder"]
