"""Go on with a segment that occurred before, wherever that was."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import generator
from unweave.tasks.batch import IGNORED, Batch
from unweave.tasks.task import Task, require_count, with_bos


@dataclass(frozen=True)
class Induction(Task):
    """Random tokens in which one segment comes twice, the rest all different.

    Length, place and distance of the two copies are each sequence's own, so that no rule that reads
    a fixed position, or a fixed distance back, goes on with the segment. Targets are the next
    tokens, asked for within the second copy, from its first token on: they are certain from what
    stood before, and from nothing else. Tokens outside the copies differ from each other and from
    the segment's, so the first copy is the only earlier place of any token.

    Args:
        shortest: the length of the shortest segment; the longest takes half of the sequence.
    """

    d_vocab: int = 64
    n_ctx: int = 32
    shortest: int = 4

    def __post_init__(self) -> None:
        self._require(d_vocab=2, n_ctx=5, shortest=2)
        if self.longest < self.shortest or self.d_vocab <= self.n_ctx:
            raise InputError(
                wanted=f"an n_ctx of at least {2 * self.shortest + 1} and a d_vocab above it",
                got=f"n_ctx {self.n_ctx}, d_vocab {self.d_vocab}",
                remedy="set them in Induction: two copies must fit, and all other tokens differ",
            )

    @property
    def longest(self) -> int:
        """The length of the longest segment."""
        return (self.n_ctx - 1) // 2

    @property
    def scored(self) -> slice:
        """All positions but the last, which has no next token; most of their targets are ignored."""
        return slice(None, -1)

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sequences `[batch_size, n_ctx]`, and targets `[batch_size, n_ctx - 1]`."""
        require_count(batch_size, "batch_size", 1)
        source, n = generator(seed, self.name), self.n_ctx - 1
        # A random order of the vocabulary: the first n tokens are distinct.
        tokens = torch.rand(batch_size, self.d_vocab - 1, generator=source).argsort(-1)[:, :n] + 1
        length = _upto(self.longest - self.shortest, batch_size, source) + self.shortest
        first = _upto(n - 2 * length, batch_size, source)
        second = first + length + _upto(n - 2 * length - first, batch_size, source)
        at = torch.arange(n)
        within = (at >= second[:, None]) & (at < (second + length)[:, None])
        origin = torch.where(within, at - (second - first)[:, None], at)
        tokens = with_bos(tokens.gather(1, origin))
        # Asked at a token of the second copy, with BOS one place later, for the next of that copy.
        asked = torch.cat([torch.zeros(batch_size, 1, dtype=torch.bool), within[:, :-1] & within[:, 1:]], 1)
        return Batch(tokens, tokens[:, 1:].masked_fill(~asked, IGNORED))


def _upto(most: int | Tensor, size: int, source: torch.Generator) -> Tensor:
    """Whole numbers from 0 to `most`, all alike."""
    return (torch.rand(size, generator=source) * (torch.as_tensor(most) + 1)).long()
