"""A sequence, a separator, and the same sequence copied, reversed or sorted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.seeds import generator
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count, with_bos


@dataclass(frozen=True)
class Transduction(Task):
    """BOS, `length` tokens uniform in `1 .. d_vocab - 2`, a separator, and what is made of the tokens.

    The separator is token `d_vocab - 1`. Targets are the next tokens, asked for from the separator
    on; the last is only a target, so that sequences have `2 length + 1` positions.
    """

    d_vocab: int = 32
    length: int = 8
    n_ctx: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._require(d_vocab=3, length=1)
        self._follows(n_ctx=2 * self.length + 1)

    @abstractmethod
    def made_of(self, tokens: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        """What stands after the separator."""

    @property
    def separator(self) -> int:
        """The token between the two parts."""
        return self.d_vocab - 1

    @property
    def scored(self) -> slice:
        """From the separator on."""
        return slice(self.length + 1, None)

    def word(self, token: int) -> str:
        """How a token is written for people."""
        return "|" if token == self.separator else super().word(token)

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sequences `[batch_size, 2 length + 1]`, and targets `[batch_size, length]`."""
        shape = (require_count(batch_size, "batch_size", 1), self.length)
        given = torch.randint(1, self.separator, shape, generator=generator(seed, self.name))
        made = self.made_of(given)
        separator = torch.full((batch_size, 1), self.separator)
        return Batch(with_bos(torch.cat([given, separator, made[:, :-1]], 1)), made)


@dataclass(frozen=True)
class Copy(Transduction):
    """The same tokens in the same order."""

    reads_a_place: ClassVar[bool] = True

    def made_of(self, tokens: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        """The tokens."""
        return tokens.clone()


@dataclass(frozen=True)
class Reverse(Transduction):
    """The same tokens, the last first."""

    reads_a_place: ClassVar[bool] = True

    def made_of(self, tokens: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        """The tokens, the last first."""
        return tokens.flip(-1)


@dataclass(frozen=True)
class Sort(Transduction):
    """The same tokens, the smallest first."""

    def made_of(self, tokens: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        """The tokens, the smallest first."""
        return tokens.sort(-1).values
