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


def over_seeds(values: Float[Tensor, " seed"], unit: str = "") -> Estimate:
    """The mean over a few seeds and its 95% interval by Student's t, `mean ± t s / sqrt(n)`.

    For values of separate trainings, of which there are seldom more than ten; each must come from
    a seed of its own. With one seed there is no interval.
    """
    n = len(values)
    mean = values.double().mean().item()
    if n < 2:
        return Estimate(mean, unit=unit)
    half = student_t(n - 1) * values.double().std().item() / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, unit)


def student_t(degrees: int) -> float:
    """The 97.5% quantile of Student's t: found by bisection of its distribution, to 1e-9."""
    low, high = 0.0, 13.0  # 12.706 with one degree of freedom, the largest
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < 0.975 else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    """P(T <= t), from the finite series in the angle `atan(t / sqrt(degrees))` (Abramowitz and Stegun 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0 if odd and degrees == 1 else term
    for k in range(2 + odd, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    inside = (2 / math.pi) * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2


def share(successes: int, n: int) -> Estimate:
    """The share of `n` independent tries that succeeded, with Wilson's 95% interval, which stays within [0, 1]."""
    assert 0 <= successes <= n
    assert n > 0
    z2 = 1.96**2
    middle = (successes + z2 / 2) / (n + z2)
    half = 1.96 * math.sqrt(successes * (n - successes) / n + z2 / 4) / (n + z2)
    return Estimate(successes / n, max(0.0, middle - half), min(1.0, middle + half))
