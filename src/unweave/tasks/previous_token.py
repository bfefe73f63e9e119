"""Predict the previous token: the task of the no-position experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.seeds import generator
from unweave.core.tokens import require_tokens
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count


@dataclass(frozen=True)
class PreviousToken(Task):
    """Sequences of BOS (token 0) and `n_ctx - 1` tokens uniform in `1 .. d_vocab - 1`.

    At every position from 1 on, the target is the token one position before. The stream is
    endless: `batch` draws from a generator of its own, so the same seed gives the same batch and
    the global random state is left alone.
    """

    reads_a_place: ClassVar[bool] = True

    d_vocab: int = 300
    n_ctx: int = 50

    def __post_init__(self) -> None:
        self._require(d_vocab=2, n_ctx=2)

    @property
    def scored(self) -> slice:
        """The positions at which a prediction is asked for."""
        return slice(1, None)

    @property
    def orderless_loss(self) -> float:
        """The best mean loss, in nats, of a guess that sees the tokens so far but not their order.

        The current token and BOS are known. At position i >= 2 the target is one of the m = i - 1
        other tokens, any of them alike, so the best guess gives a token its count over m. The loss
        is log m - E[log(1 + K)] with K ~ Binomial(m - 1, 1 / (d_vocab - 1)), the further copies of
        the target. At position 1 the target is BOS, and known.
        """
        p = 1.0 / (self.d_vocab - 1)
        total = 0.0
        for m in range(1, self.n_ctx - 1):
            copies = sum(
                math.comb(m - 1, k) * p**k * (1.0 - p) ** (m - 1 - k) * math.log1p(k) for k in range(m)
            )
            total += math.log(m) - copies
        return total / (self.n_ctx - 1)

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sequences, `[batch_size, n_ctx]`, and their targets, `[batch_size, n_ctx - 1]`."""
        require_count(batch_size, "batch_size", 1)
        shape, source = (batch_size, self.n_ctx), generator(seed, "previous-token")
        tokens = torch.randint(1, self.d_vocab, shape, generator=source, device="cpu")
        tokens[:, 0] = 0
        return self.with_targets(tokens)

    def with_targets(self, tokens: Int[Tensor, "batch pos"]) -> Batch:
        """The batch that these sequences make.

        Raises:
            InputError: for tokens that are not whole numbers from 0 to `d_vocab - 1`, or with fewer
                than two positions.
        """
        tokens = require_tokens(tokens, self.d_vocab, least=2)
        return Batch(tokens, tokens[:, :-1].clone())
