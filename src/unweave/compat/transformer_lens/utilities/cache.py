"""Keys and values of positions that were run already."""

from __future__ import annotations

from unweave.model.kv_cache import KeyValueCache


def get_pos_offset(past_kv_cache: KeyValueCache | None, batch_size: int) -> int:
    """How many positions a cache holds; 0 without one."""
    return 0 if past_kv_cache is None else past_kv_cache[0].past_keys.shape[1]
