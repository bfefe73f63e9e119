"""Keys and values of one layer."""

from __future__ import annotations

from unweave.model.kv_cache import KeyValueCacheEntry as TransformerLensKeyValueCacheEntry

__all__ = ["TransformerLensKeyValueCacheEntry"]
