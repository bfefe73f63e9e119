"""What a task hands out: tokens, and what should be predicted from them."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor


class Batch(NamedTuple):
    """`tokens` `[batch, pos]`, and `targets` `[batch, scored]`, one for each position the task scores."""

    tokens: Int[Tensor, "batch pos"]
    targets: Int[Tensor, "batch scored"]
