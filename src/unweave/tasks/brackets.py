"""Is a string of brackets balanced?"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import generator
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count

OPEN, CLOSE, END = 1, 2, 3


@dataclass(frozen=True)
class Brackets(Task):
    """BOS, `length` brackets and an end, at which the answer is asked for: 1 if they are balanced.

    Half of the strings are balanced, each such string alike. Of the others half have as many opening
    as closing brackets, and fail only by closing too early; half are balanced strings with one
    bracket turned round, so that their numbers differ. So neither counting alone nor depth alone is
    enough.
    """

    length: int = 16
    d_vocab: int = field(init=False, repr=False)
    n_ctx: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._require(length=2)
        if self.length % 2:
            raise InputError(
                wanted="an even length for Brackets",
                got=str(self.length),
                remedy="an odd string is never balanced",
            )
        self._follows(d_vocab=4, n_ctx=self.length + 2)

    @property
    def d_vocab_out(self) -> int:
        """No, and yes."""
        return 2

    @property
    def scored(self) -> slice:
        """At the end."""
        return slice(self.n_ctx - 1, None)

    def word(self, token: int) -> str:
        """How a token is written for people."""
        return ("BOS", "(", ")", "END")[token]

    def answer(self, target: int) -> str:
        """How a target is written for people."""
        return ("no", "yes")[target]

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` strings `[batch_size, length + 2]`, and targets `[batch_size, 1]`."""
        n, source = require_count(batch_size, "batch_size", 1), generator(seed, self.name)
        kind = torch.randint(4, (n, 1), generator=source)
        good, rows = _balanced(n, self.length, source), torch.arange(n)
        turned = good.clone()
        at = torch.randint(self.length, (n,), generator=source)
        turned[rows, at] = ~turned[rows, at]
        early = torch.where(kind == 2, _too_early(n, self.length, source), turned)
        opening = torch.where(kind < 2, good, early)
        tokens = torch.where(opening, OPEN, CLOSE)
        ends = torch.zeros(n, 1, dtype=torch.long)
        tokens = torch.cat([ends, tokens, ends + END], 1)
        return Batch(tokens, is_balanced(tokens[:, 1:-1]).long()[:, None])


def is_balanced(brackets: Int[Tensor, "batch length"]) -> Bool[Tensor, " batch"]:
    """Whether no bracket closes before one opens, and all that open close."""
    depth = torch.where(brackets == OPEN, 1, -1).cumsum(-1)
    return (depth >= 0).all(-1) & (depth[:, -1] == 0)


def _shuffled(n: int, length: int, ones: int, source: torch.Generator) -> Bool[Tensor, "n length"]:
    return torch.rand(n, length, generator=source).argsort(-1) < ones


def _balanced(n: int, length: int, source: torch.Generator) -> Bool[Tensor, "n length"]:
    """Balanced strings, all alike, as True where one opens.

    By the cycle lemma (Dvoretzky and Motzkin, 1947): of the rotations of a string with one more
    closing bracket than opening ones, exactly one is a balanced string and that bracket behind it.
    """
    opening = _shuffled(n, length + 1, length // 2, source)
    depth = torch.where(opening, 1, -1).cumsum(-1)
    # The rotation that begins after the first place of least depth.
    start = depth.argmin(-1, keepdim=True) + 1
    rotated = opening.gather(1, (torch.arange(length + 1) + start) % (length + 1))
    return rotated[:, :-1]


def _too_early(n: int, length: int, source: torch.Generator) -> Bool[Tensor, "n length"]:
    """Strings with equal numbers in which a bracket closes too early, all alike.

    By reflection (André, 1887): turn round what comes up to the first such bracket, and there is one
    opening bracket more than closing ones, twice; every such string arises so from exactly one.
    """
    opening = _shuffled(n, length, length // 2 + 1, source)
    reached = (torch.where(opening, 1, -1).cumsum(-1) == 1).int().argmax(-1, keepdim=True)
    return torch.where(torch.arange(length) <= reached, ~opening, opening)
