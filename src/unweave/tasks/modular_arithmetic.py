"""Sums, differences or products modulo p, with a fixed part set aside: the task of grokking."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import generator
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count

OPERATIONS = {"add": ("+", torch.add), "subtract": ("-", torch.sub), "multiply": ("×", torch.mul)}


@dataclass(frozen=True)
class ModularArithmetic(Task):
    """`a`, `b`, `=`, and at `=` the result modulo p, over all p² pairs (Power et al., 2022, arXiv:2201.02177).

    `=` is token p. Which pairs are trained on is drawn once, from `split_seed`; the others are what
    `held_out` gives. `batch` draws training pairs without replacement, and gives all of them, in
    one order, if as many are asked for or more: full batches.

    Args:
        p: the modulus; a prime makes every nonzero number invertible.
        operation: "add", "subtract" or "multiply".
        train_fraction: the share of pairs that are trained on.
    """

    exhaustive: ClassVar[bool] = True

    p: int = 113
    operation: str = "add"
    train_fraction: float = 0.3
    split_seed: int = 0
    d_vocab: int = field(init=False, repr=False)
    n_ctx: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._require(p=2)
        self._follows(d_vocab=self.p + 1, n_ctx=3)
        if self.operation not in OPERATIONS:
            raise InputError(
                wanted=f"an operation, one of {', '.join(OPERATIONS)}",
                got=repr(self.operation),
                remedy="set operation in ModularArithmetic",
            )
        if not isinstance(self.train_fraction, float) or not 1 <= self.n_train < self.p**2:
            raise InputError(
                wanted="a train_fraction above 0 and below 1 that leaves pairs on both sides",
                got=repr(self.train_fraction),
                remedy="set train_fraction in ModularArithmetic, as 0.3",
            )

    @property
    def d_vocab_out(self) -> int:
        """The numbers."""
        return self.p

    @property
    def scored(self) -> slice:
        """At the sign."""
        return slice(2, 3)

    @property
    def n_train(self) -> int:
        """How many pairs are trained on."""
        return round(self.train_fraction * self.p**2)

    def word(self, token: int) -> str:
        """How a token is written for people."""
        return "=" if token == self.p else str(token)

    def of(self, pairs: Int[Tensor, "pair 2"]) -> Batch:
        """The batch that these pairs of numbers make."""
        sign = torch.full_like(pairs[:, :1], self.p)
        result = OPERATIONS[self.operation][1](pairs[:, 0], pairs[:, 1]) % self.p
        return Batch(torch.cat([pairs, sign], 1), result[:, None])

    def everything(self) -> Batch:
        """All p² pairs, the first number slowest."""
        return self.of(torch.cartesian_prod(torch.arange(self.p), torch.arange(self.p)))

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` training pairs, drawn anew from `seed`; all of them if there are no more."""
        require_count(batch_size, "batch_size", 1)
        chosen = self._order[: self.n_train]
        if batch_size < self.n_train:
            order = torch.randperm(self.n_train, generator=generator(seed, self.name))
            chosen = chosen[order[:batch_size]]
        return self.of(self._pairs(chosen))

    def held_out(self, batch_size: int | None = None, seed: int = 0) -> Batch:
        """Pairs that are not trained on: all of them, or `batch_size` drawn from `seed`."""
        left = self._order[self.n_train :]
        if batch_size is not None and require_count(batch_size, "batch_size", 1) < len(left):
            order = torch.randperm(len(left), generator=generator(seed, self.name, "held-out"))
            left = left[order[:batch_size]]
        return self.of(self._pairs(left))

    @cached_property
    def _order(self) -> Int[Tensor, " pair"]:
        return torch.randperm(self.p**2, generator=generator(self.split_seed, self.name, "split"))

    def _pairs(self, numbers: Int[Tensor, " pair"]) -> Int[Tensor, "pair 2"]:
        return torch.stack([numbers // self.p, numbers % self.p], 1)
