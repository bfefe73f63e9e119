"""What every task of tokens has: sequences, targets, a loss, and what is known of both."""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import derive
from unweave.tasks.batch import IGNORED, Batch


class Task(ABC):
    """Sequences of tokens, and what should be predicted at some of their positions.

    A task is a frozen dataclass of plain numbers, hands out batches by seed, and leaves the global
    random state alone. It knows nothing of models.
    """

    reads_a_place: ClassVar[bool] = False
    """Whether a fixed place, or a fixed distance, is what the task is about, and so no shortcut."""

    exhaustive: ClassVar[bool] = False
    """Whether its data are finite, with a part set aside, and not an endless stream."""

    # Fields of each task; where they follow from its others, `_follows` sets them.
    d_vocab: int
    n_ctx: int

    @abstractmethod
    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` sequences to train on, and their targets; the same seed gives the same batch."""

    def held_out(self, batch_size: int, seed: int = 0) -> Batch:
        """Sequences to judge on: of an endless stream a part of its own, of exhaustive data the part set aside."""
        return self.batch(batch_size, derive(seed, "held-out"))

    @property
    def name(self) -> str:
        """As configs and commands write it: `previous-token` for `PreviousToken`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()

    @property
    def d_vocab_out(self) -> int:
        """How many answers there are to choose from."""
        return self.d_vocab

    @property
    def scored(self) -> slice:
        """The positions at which a prediction is asked for."""
        return slice(None)

    @property
    def chance_loss(self) -> float:
        """The loss, in nats, of a uniform guess over all answers."""
        return math.log(self.d_vocab_out)

    @property
    def best_loss(self) -> float | None:
        """The least mean loss, in nats, that any model can reach; None where it is not known in closed form."""
        return 0.0

    def word(self, token: int) -> str:
        """How a token is written for people."""
        return "BOS" if token == 0 else str(token)

    def answer(self, target: int) -> str:
        """How a target is written for people."""
        return self.word(target)

    def example(self, seed: int = 0) -> str:
        """One sequence and its targets, in words, the targets under the positions that they are asked at."""
        tokens, targets = (part[0].tolist() for part in self.batch(1, seed))
        top = [self.word(token) for token in tokens]
        under = ["" for _ in top]
        for pos, target in zip(range(len(top))[self.scored], targets, strict=True):
            under[pos] = "" if target == IGNORED else self.answer(target)
        widths = [max(map(len, pair)) for pair in zip(top, under, strict=True)]
        rows = (zip(words, widths, strict=True) for words in (top, under))
        return "\n".join(" ".join(f"{word:>{width}}" for word, width in row).rstrip() for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """Its name and numbers, as JSON values."""
        fields = dataclasses.fields(cast(Any, self))
        return {"name": self.name, **{f.name: getattr(self, f.name) for f in fields if f.init}}

    def loss(
        self, logits: Float[Tensor, "batch pos d_vocab_out"], batch: Batch, per_token: bool = False
    ) -> Float[Tensor, ""] | Float[Tensor, "batch scored"]:
        """Cross-entropy in nats at the scored positions: its mean, or one value for each (0 where ignored).

        Args:
            logits: at every position, or at the scored ones alone.

        Raises:
            InputError: for logits of another shape.
        """
        logits, targets = self._scored(logits, batch)
        reduction = "none" if per_token else "mean"
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction=reduction, ignore_index=IGNORED
        )
        return losses.view(targets.shape) if per_token else losses

    def accuracy(
        self, logits: Float[Tensor, "batch pos d_vocab_out"], batch: Batch, per_token: bool = False
    ) -> Float[Tensor, ""] | Float[Tensor, "batch scored"]:
        """The share of scored positions whose largest logit is the target's; NaN a position where ignored."""
        logits, targets = self._scored(logits, batch)
        hits = (logits.argmax(-1) == targets).float()
        if per_token:
            return hits.masked_fill(targets == IGNORED, math.nan)
        return hits.sum() / (targets != IGNORED).sum()

    def _scored(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        targets = batch.targets.to(logits.device)
        if logits.shape == (*batch.tokens.shape, self.d_vocab_out):
            return logits[:, self.scored], targets
        if logits.shape == (*batch.targets.shape, self.d_vocab_out):
            return logits, targets
        raise InputError(
            wanted=f"logits of shape {(*batch.tokens.shape, self.d_vocab_out)}",
            got=str(tuple(logits.shape)),
            remedy="pass the logits of this batch's tokens",
        )

    def _require(self, **least: int) -> None:
        """Refuse fields that are no whole number of at least so much.

        Raises:
            InputError: naming the field.
        """
        for field, lowest in least.items():
            require_count(getattr(self, field), field, lowest, type(self).__name__)

    def _follows(self, **sizes: int) -> None:
        """Set the fields that aren't given but follow from those that are."""
        for field, size in sizes.items():
            object.__setattr__(self, field, size)


def require_count(value: object, name: str, least: int, where: str = "") -> int:
    """`value`, if it is a whole number of at least `least`.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(
            wanted=f"a whole number of at least {least} for {name}",
            got=repr(value),
            remedy=f"set {name} in {where}" if where else "ask for more",
        )
    return value


def with_bos(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos_and_1"]:
    """The sequences with BOS, token 0, before them."""
    return torch.cat([tokens.new_zeros(len(tokens), 1), tokens], 1)
