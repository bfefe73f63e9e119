"""Comparisons of rates, paired by seed, with 95% intervals over the seeds."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from unweave.analysis.intervals import over_seeds, student_t
from unweave.core.claims import Estimate


def ratio(above: Float[Tensor, " seed"], below: Float[Tensor, " seed"], unit: str = "") -> Estimate:
    """The ratio of two means over the same seeds, `sum(above) / sum(below)`.

    The interval is by linearisation, `R ± t s / (sqrt(n) mean(below))` with s of the residuals
    `above - R below` (Cochran, Sampling Techniques, 1977, 6.3-6.4), so that a seed without spikes does no harm.
    It is symmetric and rough with five seeds. NaN where nothing stands below.
    """
    n, base = len(below), below.double().mean().item()
    if not math.isfinite(base) or base == 0 or not bool(above.isfinite().all()):
        return Estimate(math.nan, unit=unit)
    value = above.double().mean().item() / base
    if n < 2:
        return Estimate(value, unit=unit)
    spread = (above.double() - value * below.double()).std().item()
    half = student_t(n - 1) * spread / (math.sqrt(n) * abs(base))
    return Estimate(value, value - half, value + half, unit)


def removed(without: Float[Tensor, " seed"], within: Float[Tensor, " seed"]) -> Estimate:
    """The share of the spikes of `within` that are gone in `without`; below 0 where there are more."""
    return ratio(within - without, within)


def difference(first: Float[Tensor, " seed"], second: Float[Tensor, " seed"]) -> Estimate:
    """How many more spikes per 1000 steps the first has."""
    return over_seeds(first - second, "per 1000 steps")


def interaction(
    both: Float[Tensor, " seed"],
    first: Float[Tensor, " seed"],
    second: Float[Tensor, " seed"],
    neither: Float[Tensor, " seed"],
) -> Estimate:
    """What two changes do together beyond the sum of what each does alone, in spikes per 1000 steps."""
    return over_seeds(both - first - second + neither, "per 1000 steps")
