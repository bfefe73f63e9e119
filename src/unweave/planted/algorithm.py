"""Ground truth as a function of tokens: what a planted model must give out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.tokens import require_tokens
from unweave.planted.interpret import evaluate
from unweave.planted.language import Op

# From the tokens after BOS to an output at each of them.
OnSequence = Callable[[list[int]], list[int] | list[float]]


@dataclass(frozen=True)
class Algorithm:
    """What must come out for tokens `[batch, pos]`: classes or numbers `[batch, pos]`, 0 at BOS.

    Args:
        on_sequence: the same for one sequence, BOS left out.
    """

    on_sequence: OnSequence
    n_tokens: int
    max_length: int
    numerical: bool

    def __call__(
        self, tokens: Int[Tensor, "batch pos"]
    ) -> Int[Tensor, "batch pos"] | Float[Tensor, "batch pos"]:
        """The outputs: int64 classes, or float64 numbers.

        Raises:
            InputError: for sequences that are not BOS and then tokens, or too long.
        """
        checked = require_sequences(tokens, self.n_tokens, self.max_length)
        rows = [[0, *self.on_sequence(row[1:])] for row in checked.tolist()]
        return torch.tensor(rows, dtype=torch.float64 if self.numerical else torch.int64).to(tokens.device)


def interpreted(program: Op, n_tokens: int, max_length: int, *, causal: bool) -> Algorithm:
    """The program itself, run without a model; None is class 0."""

    def on_sequence(sequence: list[int]) -> list[int] | list[float]:
        return [value or 0 for value in evaluate(program, sequence, causal=causal)]

    return Algorithm(on_sequence, n_tokens, max_length, program.numerical)


def require_sequences(tokens: Tensor, n_tokens: int, max_length: int) -> Int[Tensor, "batch pos"]:
    """`tokens`, if they are what planted models are made for.

    Raises:
        InputError: if they are not.
    """
    tokens = require_tokens(tokens, n_tokens + 1, most=max_length + 1)
    if bool((tokens[:, 0] != 0).any()) or bool((tokens[:, 1:] == 0).any()):
        raise InputError(
            wanted=f"sequences of BOS (0) and then tokens from 1 to {n_tokens}",
            got="a 0 elsewhere, or none at the beginning",
            remedy="take planted.inputs(length), or put a 0 before your tokens",
        )
    return tokens
