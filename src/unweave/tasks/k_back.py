"""Say which token stood k positions before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from unweave.core.errors import InputError
from unweave.core.seeds import generator
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count, with_bos


@dataclass(frozen=True)
class KBack(Task):
    """BOS and tokens uniform in `1 .. d_vocab - 1`; from position k on, the target is the token k before."""

    reads_a_place: ClassVar[bool] = True

    k: int = 2
    d_vocab: int = 50
    n_ctx: int = 16

    def __post_init__(self) -> None:
        self._require(k=0, d_vocab=2, n_ctx=2)
        if self.k >= self.n_ctx:
            raise InputError(
                wanted=f"a k below n_ctx, {self.n_ctx}", got=str(self.k), remedy="set a smaller k in KBack"
            )

    @property
    def scored(self) -> slice:
        """From position k on."""
        return slice(self.k, None)

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sequences `[batch_size, n_ctx]`, and targets `[batch_size, n_ctx - k]`."""
        shape = (require_count(batch_size, "batch_size", 1), self.n_ctx - 1)
        tokens = with_bos(torch.randint(1, self.d_vocab, shape, generator=generator(seed, self.name)))
        return Batch(tokens, tokens[:, : self.n_ctx - self.k].clone())
