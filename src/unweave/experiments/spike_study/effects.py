"""Comparisons of rates, paired by seed, with 95% intervals over the seeds."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.intervals import over_seeds, student_t
from unweave.core.claims import Estimate


def ratio(above: Float[Tensor, " seed"], below: Float[Tensor, " seed"], unit: str = "") -> Estimate:
    """The ratio of two means over the same seeds, `sum(above) / sum(below)`, so that a seed without spikes does no harm.

    The interval is Fieller's (1954, Some problems in interval estimation): every R that a paired t test of
    `above - R below` against 0 does not refute. It has no ends where the mean below is itself not clearly above 0, as
    when one seed makes up most of it. NaN where nothing stands below.
    """
    n, base = len(below), below.double().mean().item()
    if not math.isfinite(base) or base == 0 or not bool(above.isfinite().all()):
        return Estimate(math.nan, unit=unit)
    top = above.double().mean().item()
    if n < 2:
        return Estimate(top / base, unit=unit)
    (var_top, both), (_, var_base) = torch.cov(torch.stack([above.double(), below.double()])).tolist()
    t2 = student_t(n - 1) ** 2 / n
    # (top - R base)^2 = t2 (var_top - 2 R both + R^2 var_base), solved for R.
    a, b, c = base**2 - t2 * var_base, top * base - t2 * both, top**2 - t2 * var_top
    if a <= 0:
        return Estimate(top / base, -math.inf, math.inf, unit)
    root = math.sqrt(max(0.0, b**2 - a * c))
    return Estimate(top / base, (b - root) / a, (b + root) / a, unit)


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
