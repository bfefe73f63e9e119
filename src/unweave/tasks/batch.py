"""What a task hands out: tokens, and what should be predicted from them."""

from __future__ import annotations

from typing import Final, NamedTuple

from jaxtyping import Int
from torch import Tensor

IGNORED: Final = -100
"""The target where nothing is asked for; what `torch.nn.functional.cross_entropy` leaves out."""


class Batch(NamedTuple):
    """`tokens` `[batch, pos]`, and `targets` `[batch, scored]`, one for each position the task scores.

    A target that is `IGNORED` counts in no loss and no accuracy.
    """

    tokens: Int[Tensor, "batch pos"]
    targets: Int[Tensor, "batch scored"]
