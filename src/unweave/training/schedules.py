"""Learning-rate schedules: pure functions of the step, with values that can be read and saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from unweave.core.errors import InputError


@runtime_checkable
class Schedule(Protocol):
    """`schedule(step)` is what the learning rate is multiplied by at that step, counted from 0."""

    def __call__(self, step: int, /) -> float:
        """The multiplier at `step`."""
        ...


@dataclass(frozen=True)
class Constant:
    """1 at every step."""

    def __call__(self, step: int) -> float:
        """1, whatever the step."""
        return 1.0


@dataclass(frozen=True)
class LinearWarmup:
    """`min(step / steps, 1)`: 0 at step 0, and 1 from step `steps` on."""

    steps: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 1:
            raise InputError(
                wanted="a warmup of at least 1 step", got=repr(self.steps), remedy="use Constant() for none"
            )

    def __call__(self, step: int) -> float:
        """The share of the warmup that lies behind, 1 at most."""
        return min(step / self.steps, 1.0)
