"""Means with their intervals."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from unweave.core.claims import Estimate


def estimate(values: Float[Tensor, " n"], unit: str = "") -> Estimate:
    """The mean of independent values and its 95% interval, `mean ± 1.96 s / sqrt(n)`.

    Each value must be an independent sample (a sequence, say, not a token of one): for a paired
    comparison pass the differences. `s` divides by `n - 1`. The normal approximation is meant for
    hundreds of samples; with ten the interval is about a tenth too narrow. With fewer than two
    there is none.
    """
    n = len(values)
    mean = values.double().mean().item()
    if n < 2:
        return Estimate(mean, unit=unit)
    half = 1.96 * values.double().std().item() / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, unit)
