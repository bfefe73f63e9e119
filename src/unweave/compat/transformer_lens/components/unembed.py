"""The unembedding."""

from __future__ import annotations

from unweave.model.embedding import Unembed

__all__ = ["Unembed"]
