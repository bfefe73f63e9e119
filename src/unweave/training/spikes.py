"""Loss spikes: where the loss stands far above its own recent level."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

WINDOW = 50  # steps on either side from which the local level is taken
FACTOR = 2.0
APART = 10  # steps without one that part two spikes


class Spike(NamedTuple):
    """The highest step of a spike."""

    step: int
    loss: float


def find_spikes(losses: Sequence[float]) -> list[Spike]:
    """Peaks at which the loss is more than twice the median of the 50 steps on either side.

    And more than twice the least of the 50 steps before: a loss that falls fast, as at the start,
    stands above its median without having risen. Steps at most 10 apart belong to one spike.
    """
    high: list[int] = []
    for step, loss in enumerate(losses):
        first = max(0, step - WINDOW)
        level = median(losses[first : step + WINDOW + 1])
        if step and loss > FACTOR * max(level, min(losses[first:step])):
            high.append(step)
    return _peaks(losses, high)


def clusters_above(losses: Sequence[float], level: float, after: int) -> list[Spike]:
    """Peaks above a fixed level from step `after` on, clustered in the same way."""
    return _peaks(losses, [step for step in range(after, len(losses)) if losses[step] > level])


def _peaks(losses: Sequence[float], steps: Sequence[int]) -> list[Spike]:
    clusters: list[list[int]] = []
    for step in steps:
        if clusters and step - clusters[-1][-1] <= APART:
            clusters[-1].append(step)
        else:
            clusters.append([step])
    return [Spike(*max(((s, losses[s]) for s in cluster), key=lambda pair: pair[1])) for cluster in clusters]
