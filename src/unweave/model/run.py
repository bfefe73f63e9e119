"""What all layers of one run share: where its positions stand, what is padding, what came before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.model.kv_cache import KeyValueCache, KeyValueCacheEntry
from unweave.model.rotary import Rotary


@dataclass
class Run:
    """One forward run over `n_query` new positions, after `offset` that a cache holds.

    Args:
        attended: False where a key is padding, the cached ones included; None if none is.
        past: keys and values of earlier runs, to be read and added to.
        pos_embed: what shortformer's queries and keys read besides the residual stream.
        position_bias: what relative_positional_bias adds to every layer's scores.
        projected: queries of the new positions, and keys and values of all, where one layer alone is
            run and they are known.
    """

    n_query: int
    device: torch.device
    offset: int = 0
    attended: Bool[Tensor, "batch key"] | None = None
    past: KeyValueCache | None = None
    pos_embed: Float[Tensor, "batch pos d_model"] | None = None
    position_bias: Float[Tensor, "1 head query key"] | None = None
    projected: tuple[Tensor, Tensor, Tensor] | None = None
    _alibi: Tensor | None = None
    _tables: dict[tuple[Rotary, torch.dtype], tuple[Tensor, Tensor]] = field(default_factory=dict)
    _masks: dict[tuple[str, int | None], Tensor | None] = field(default_factory=dict)

    @classmethod
    def over(cls, x: Float[Tensor, "batch pos d_model"]) -> Run:
        """A run over all of `x`, with nothing before it and nothing padded."""
        return cls(x.shape[1], x.device)

    @property
    def n_key(self) -> int:
        """How many positions there are, with those that a cache holds."""
        return self.offset + self.n_query

    @property
    def positions(self) -> Int[Tensor, "batch key"] | Int[Tensor, " key"]:
        """Each key's position: how many attended ones stand before it. Padding on the left is at 0."""
        if self.attended is None:
            return torch.arange(self.n_key, device=self.device)
        return (self.attended.long().cumsum(1) - 1).clamp_min(0)

    def entry(self, layer: int) -> KeyValueCacheEntry | None:
        """This layer's part of the cache, if there is one."""
        return None if self.past is None else self.past[layer]

    def rotation(self, rotary: Rotary, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines for every key, `[..., key, rotary_dim]`; made once a run."""
        if (rotary, dtype) not in self._tables:
            self._tables[rotary, dtype] = rotary.table(self.positions, dtype)
        return self._tables[rotary, dtype]

    def alibi(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gave the first time: the same for every layer."""
        if self._alibi is None:
            self._alibi = make()
        return self._alibi

    def is_plain(self, direction: str, window: int | None) -> bool:
        """Whether a mask would say no more than that the future is hidden, and query 0 is key 0."""
        windowed = window is not None and window < self.n_key
        return direction == "causal" and self.attended is None and self.offset == 0 and not windowed

    def visible(self, direction: str, window: int | None) -> Bool[Tensor, "#batch 1 query key"] | None:
        """Which keys each query sees; None if it is all of them. Made once a run."""
        if (direction, window) not in self._masks:
            self._masks[direction, window] = self._visible(direction, window)
        return self._masks[direction, window]

    def _visible(self, direction: str, window: int | None) -> Tensor | None:
        keys = torch.arange(self.n_key, device=self.device)
        ahead = keys - keys[self.offset :, None]
        seen = None
        if direction == "causal" and self.n_query > 1:
            seen = ahead <= 0
        if window is not None and window < self.n_key:
            near = ahead.abs() < window
            seen = near if seen is None else seen & near
        seen = None if seen is None else seen[None, None]
        if self.attended is not None:
            attended = self.attended[:, None, None]
            seen = attended.expand(-1, -1, self.n_query, -1) if seen is None else seen & attended
        return seen
