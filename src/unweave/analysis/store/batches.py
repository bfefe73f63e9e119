"""Rows of a store as training reads them: in order or shuffled, a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError, nearest


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows.

    Args:
        rows: their numbers in the store.
        tokens, samples, positions: which token each is of, of which sample, and where in it.
        activations: at each site, `[row, ...]`; `batch[site]` is short for it.
    """

    rows: Int[Tensor, " row"]
    tokens: Int[Tensor, " row"]
    samples: Int[Tensor, " row"]
    positions: Int[Tensor, " row"]
    activations: Mapping[str, Float[Tensor, "row ..."]]

    def __getitem__(self, site: str) -> Float[Tensor, "row ..."]:
        if site not in self.activations:
            raise InputError(
                wanted="a site of this batch",
                got=repr(site),
                remedy=f"nearest: {nearest(site, self.activations)}",
            )
        return self.activations[site]

    def __len__(self) -> int:
        return len(self.rows)
