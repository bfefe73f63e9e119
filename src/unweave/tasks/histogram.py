"""How often has this token occurred?"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unweave.core.seeds import generator
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count, with_bos


@dataclass(frozen=True)
class Histogram(Task):
    """BOS and tokens uniform in `1 .. d_vocab - 1`; at each, how often it occurs.

    Args:
        whole: whether in the whole sequence, which only a bidirectional model can see, or up to and
            with this position.
    """

    d_vocab: int = 8
    n_ctx: int = 12
    whole: bool = False

    def __post_init__(self) -> None:
        self._require(d_vocab=2, n_ctx=2)

    @property
    def d_vocab_out(self) -> int:
        """The counts from 0 to `n_ctx - 1`; 0 is never right."""
        return self.n_ctx

    @property
    def scored(self) -> slice:
        """After BOS."""
        return slice(1, None)

    def answer(self, target: int) -> str:
        """How a target is written for people."""
        return f"{target}×"

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sequences `[batch_size, n_ctx]`, and counts `[batch_size, n_ctx - 1]`."""
        shape = (require_count(batch_size, "batch_size", 1), self.n_ctx - 1)
        tokens = torch.randint(1, self.d_vocab, shape, generator=generator(seed, self.name))
        same = tokens[:, :, None] == tokens[:, None, :]
        same = same if self.whole else same.tril()
        return Batch(with_bos(tokens), same.sum(-1))
