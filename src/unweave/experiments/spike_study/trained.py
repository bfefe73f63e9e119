"""One training of the study: its history, when it had learned, and its spikes after that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from unweave.training.spikes import Spike, find_spikes

LEARNED = 0.05  # of the loss of a uniform guess
STEADY = 50  # steps whose median must be below that
LARGE = 0.01  # of that loss: below, the doctor takes a spike for the noise of batches
FEWEST = 100  # steps after learning, without which there is no rate


@dataclass(frozen=True)
class Trained:
    """What a run's history says.

    Args:
        losses, grad_norms: one a step, the norms before clipping.
        chance: the loss of a uniform guess, in nats.
        clip: the norm to which gradients are clipped, if they are.
        wanted: steps that were asked for; there are fewer where the run diverged.
    """

    cell: str
    seed: int
    losses: list[float]
    grad_norms: list[float]
    chance: float
    clip: float | None
    wanted: int

    @property
    def diverged(self) -> bool:
        """Whether loss or gradient stopped being finite."""
        return len(self.losses) < self.wanted

    @cached_property
    def learned(self) -> int | None:
        """The first step of the first 50 whose median loss is below a twentieth of a uniform guess'."""
        limit = LEARNED * self.chance
        for step in range(len(self.losses) - STEADY + 1):
            # The median can't be below unless some are.
            if self.losses[step] < limit and median(self.losses[step : step + STEADY]) < limit:
                return step
        return None

    @property
    def exposure(self) -> int:
        """Steps after it had learned: before that the loss can't double."""
        return 0 if self.learned is None else len(self.losses) - self.learned

    @cached_property
    def spikes(self) -> list[Spike]:
        """The loss spikes after it had learned."""
        if self.learned is None:
            return []
        return [spike for spike in find_spikes(self.losses) if spike.step >= self.learned]

    @property
    def rate(self) -> float:
        """Spikes per 1000 steps after it had learned; NaN if these are too few."""
        return math.nan if self.exposure < FEWEST else 1000 * len(self.spikes) / self.exposure

    @property
    def large_rate(self) -> float:
        """The same, of spikes that rise above 1% of a uniform guess' loss alone."""
        if self.exposure < FEWEST:
            return math.nan
        return 1000 * sum(spike.loss > LARGE * self.chance for spike in self.spikes) / self.exposure

    @property
    def clipped(self) -> float:
        """The share of steps after it had learned whose gradient was clipped."""
        norms = self.grad_norms[self.learned :] if self.learned is not None else []
        if self.clip is None or not norms:
            return 0.0
        return sum(norm > self.clip for norm in norms) / len(norms)

    @property
    def final(self) -> float:
        """The median loss of the last 50 steps."""
        return median(self.losses[-STEADY:])


def rate_of(losses: list[float], first: int = 0) -> float:
    """Spikes per 1000 steps from step `first` on, judged beside the steps before; NaN if there are none."""
    if len(losses) <= first:
        return math.nan
    return 1000 * sum(spike.step >= first for spike in find_spikes(losses)) / (len(losses) - first)
