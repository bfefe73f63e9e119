"""Keys and values of positions that were run already, so that a next run need not repeat them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig


@dataclass
class KeyValueCacheEntry:
    """One layer's keys and values: normed and hooked, but not yet turned by rotary positions."""

    past_keys: Float[Tensor, "batch pos head d_head"]
    past_values: Float[Tensor, "batch pos head d_head"]
    frozen: bool = False

    def append(
        self,
        keys: Float[Tensor, "batch new head d_head"],
        values: Float[Tensor, "batch new head d_head"],
    ) -> tuple[Float[Tensor, "batch all head d_head"], Float[Tensor, "batch all head d_head"]]:
        """All keys and values, the new ones last; they are kept, unless the cache is frozen."""
        # An empty cache is on the first device; a block's keys are on the block's.
        past_keys, past_values = self.past_keys.to(keys.device), self.past_values.to(values.device)
        keys, values = torch.cat([past_keys, keys], 1), torch.cat([past_values, values], 1)
        if not self.frozen:
            self.past_keys, self.past_values = keys, values
        return keys, values


@dataclass
class KeyValueCache:
    """An entry a layer, and which of the positions so far are tokens and not padding.

    `model(tokens, past_kv_cache=cache)` reads and extends it. A run that raises leaves it as it
    was. Frozen, it is read and not extended: many continuations can be run after one prefix.

    Args:
        made_in: of the first positions of longer runs: how many tokens the longest of those had.
    """

    entries: list[KeyValueCacheEntry]
    previous_attention_mask: Bool[Tensor, "batch pos"]
    frozen: bool = False
    made_in: int = 0

    @classmethod
    def init_cache(
        cls,
        cfg: HookedTransformerConfig,
        device: str | torch.device | None = None,
        batch_size: int = 1,
    ) -> KeyValueCache:
        """An empty cache for a model of this config."""
        device = torch.device(str(cfg.device) if device is None else device)
        grouped = cfg.n_key_value_heads is not None and not cfg.ungroup_grouped_query_attention
        heads = cfg.n_key_value_heads if grouped and cfg.n_key_value_heads else cfg.n_heads
        empty = torch.empty(batch_size, 0, heads, cfg.d_head, device=device, dtype=cfg.torch_dtype)
        return cls(
            [KeyValueCacheEntry(empty, empty) for _ in range(cfg.n_layers)],
            torch.ones(batch_size, 0, device=device, dtype=torch.bool),
        )

    def __getitem__(self, layer: int) -> KeyValueCacheEntry:
        return self.entries[layer]

    @property
    def length(self) -> int:
        """How many positions it holds."""
        return self.previous_attention_mask.shape[1]

    def freeze(self) -> None:
        """Read from now on, but do not extend."""
        self._set_frozen(True)

    def unfreeze(self) -> None:
        """Extend again."""
        self._set_frozen(False)

    def append_attention_mask(self, attended: Bool[Tensor, "batch new"]) -> Bool[Tensor, "batch all"]:
        """Which of all positions are tokens, the new ones last; kept, unless the cache is frozen."""
        attended = torch.cat([self.previous_attention_mask, attended], 1)
        if not self.frozen:
            self.previous_attention_mask = attended
        return attended

    def require_fit(self, cfg: HookedTransformerConfig, layers: range, batch_size: int) -> None:
        """Raise InputError unless these layers hold as many positions, for such a batch, as the mask."""
        if cfg.attention_dir != "causal":
            raise InputError(
                wanted="causal attention with past_kv_cache",
                got=cfg.attention_dir,
                remedy="run all positions at once: earlier ones see later ones",
            )
        held, batch = self.length, self.previous_attention_mask.shape[0]
        if batch != batch_size:
            raise InputError(
                wanted=f"a batch of {batch}, as in past_kv_cache",
                got=str(batch_size),
                remedy="make a cache with this batch_size",
            )
        for layer in layers:
            got = self.entries[layer].past_keys.shape[1] if layer < len(self.entries) else "no entry"
            if got != held:
                raise InputError(
                    wanted=f"{held} cached positions in layer {layer} of past_kv_cache",
                    got=str(got),
                    remedy="run every layer on every position, or make a new cache",
                )

    def outgrown(self, cfg: HookedTransformerConfig, attended: Bool[Tensor, "batch new"]) -> bool:
        """Whether with these new positions LongRoPE goes over to its long wavelengths: then the earlier
        positions, too, give other keys and values than the cache holds.
        """
        if not cfg.use_longrope or not self.length:
            return False
        before = self.previous_attention_mask.sum(1)
        after = before + attended.to(before.device).sum(1)
        known = max(int(before.max()), self.made_in)
        return known <= cfg.longrope_original_ctx_len < int(after.max())

    @contextmanager
    def all_or_nothing(self) -> Generator[None]:
        """If the block raises, the cache is afterwards what it was before."""
        before = [(entry.past_keys, entry.past_values) for entry in self.entries]
        mask, done = self.previous_attention_mask, False
        try:
            yield
            done = True
        finally:
            if not done:
                self.previous_attention_mask = mask
                for entry, (keys, values) in zip(self.entries, before, strict=True):
                    entry.past_keys, entry.past_values = keys, values

    def _set_frozen(self, frozen: bool) -> None:
        self.frozen = frozen
        for entry in self.entries:
            entry.frozen = frozen
