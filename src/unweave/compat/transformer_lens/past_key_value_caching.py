"""Keys and values, under the names they had until 2.x."""

from __future__ import annotations

from unweave.model.kv_cache import KeyValueCache as HookedTransformerKeyValueCache
from unweave.model.kv_cache import KeyValueCacheEntry as HookedTransformerKeyValueCacheEntry

__all__ = ["HookedTransformerKeyValueCache", "HookedTransformerKeyValueCacheEntry"]
