"""Keys and values of all layers."""

from __future__ import annotations

from unweave.model.kv_cache import KeyValueCache as TransformerLensKeyValueCache

__all__ = ["TransformerLensKeyValueCache"]
