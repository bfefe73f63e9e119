"""Token types."""

from __future__ import annotations

from unweave.model.embedding import TokenTypeEmbed

__all__ = ["TokenTypeEmbed"]
