"""Predict the previous token: the task of the no-position experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import generator
from unweave.core.tokens import require_tokens
from unweave.tasks.batch import Batch


@dataclass(frozen=True)
class PreviousToken:
    """Sequences of BOS (token 0) and `n_ctx - 1` tokens uniform in `1 .. d_vocab - 1`.

    At every position from 1 on, the target is the token one position before. The stream is
    endless: `batch` draws from a generator of its own, so the same seed gives the same batch and
    the global random state is left alone.
    """

    d_vocab: int = 300
    n_ctx: int = 50

    def __post_init__(self) -> None:
        for name, least in (("d_vocab", 2), ("n_ctx", 2)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(
                    wanted=f"a whole number of at least {least} for {name}",
                    got=repr(value),
                    remedy=f"set {name} in PreviousToken",
                )

    @property
    def scored(self) -> slice:
        """The positions at which a prediction is asked for."""
        return slice(1, None)

    @property
    def chance_loss(self) -> float:
        """The loss, in nats, of a uniform guess over the whole vocabulary."""
        return math.log(self.d_vocab)

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
        if not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(
                wanted="a whole number of at least 1 for batch_size",
                got=repr(batch_size),
                remedy="ask for more",
            )
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

    def loss(
        self, logits: Float[Tensor, "batch pos d_vocab"], batch: Batch, per_token: bool = False
    ) -> Float[Tensor, ""] | Float[Tensor, "batch scored"]:
        """Cross-entropy in nats at the scored positions: its mean, or one value for each.

        Args:
            logits: at every position, or at the scored ones alone.
        """
        logits, targets = self._scored(logits, batch)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view(targets.shape) if per_token else losses.mean()

    def accuracy(
        self, logits: Float[Tensor, "batch pos d_vocab"], batch: Batch, per_token: bool = False
    ) -> Float[Tensor, ""] | Float[Tensor, "batch scored"]:
        """The share of scored positions whose largest logit is the target's."""
        logits, targets = self._scored(logits, batch)
        hits = (logits.argmax(-1) == targets).float()
        return hits if per_token else hits.mean()

    def _scored(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        targets = batch.targets.to(logits.device)
        if logits.shape == (*batch.tokens.shape, self.d_vocab):
            return logits[:, self.scored], targets
        if logits.shape == (*batch.targets.shape, self.d_vocab):
            return logits, targets
        raise InputError(
            wanted=f"logits of shape {(*batch.tokens.shape, self.d_vocab)}",
            got=str(tuple(logits.shape)),
            remedy="pass the logits of this batch's tokens",
        )
