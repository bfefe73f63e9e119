"""Schedules made of schedules."""

from __future__ import annotations

from dataclasses import dataclass, field

from unweave.core.errors import InputError
from unweave.training.schedules.schedule import Schedule
from unweave.training.schedules.shapes import Constant, Cosine, LinearWarmup


@dataclass(frozen=True)
class Product:
    """One times the other: a warmup and a decay, say."""

    first: Schedule = field(default_factory=LinearWarmup)
    second: Schedule = field(default_factory=Cosine)

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return self.first(step) * self.second(step)


@dataclass(frozen=True)
class Smaller:
    """The smaller of the two: `Smaller(Ramp(100), Constant())` is `LinearWarmup(100)`."""

    first: Schedule = field(default_factory=LinearWarmup)
    second: Schedule = field(default_factory=Constant)

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return min(self.first(step), self.second(step))


@dataclass(frozen=True)
class Larger:
    """The larger of the two: a decay that never falls below a floor, say.

    `Larger(Ramp(100), Constant())` is the slip of the session that this project grew out of: a
    learning rate that grows without end, where `Smaller` was meant.
    """

    first: Schedule = field(default_factory=Cosine)
    second: Schedule = field(default_factory=lambda: Constant(0.1))

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return max(self.first(step), self.second(step))


@dataclass(frozen=True)
class Then:
    """`first` for `steps` steps; then `second`, which counts from there."""

    steps: int = 100
    first: Schedule = field(default_factory=LinearWarmup)
    second: Schedule = field(default_factory=Cosine)

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or self.steps < 1:
            raise InputError(
                wanted="at least 1 step for steps", got=repr(self.steps), remedy="set steps in Then"
            )

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return self.first(step) if step < self.steps else self.second(step - self.steps)
