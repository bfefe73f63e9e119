"""Token embeddings."""

from __future__ import annotations

from unweave.model.embedding import Embed

__all__ = ["Embed"]
