"""What a schedule does over a run, in words and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError
from unweave.training.schedules.schedule import Schedule


@dataclass(frozen=True)
class Described:
    """A schedule over the steps of one run.

    Args:
        multipliers: one a step.
    """

    multipliers: tuple[float, ...]

    @property
    def peak(self) -> float:
        """The largest multiplier."""
        return max(self.multipliers)

    @property
    def peak_step(self) -> int:
        """The first step that has it."""
        return self.multipliers.index(self.peak)

    @property
    def still_growing(self) -> bool:
        """Whether it is largest at the end, and came to that in the last 2% of the steps alone."""
        late = self.peak_step >= 0.98 * (len(self.multipliers) - 1) > 0
        return late and self.multipliers[-1] == self.peak

    @property
    def zeros(self) -> int:
        """How many steps after the first have no learning rate at all: these train nothing."""
        return sum(multiplier == 0 for multiplier in self.multipliers[1:])

    def __str__(self) -> str:
        first, last, n = self.multipliers[0], self.multipliers[-1], len(self.multipliers)
        if min(self.multipliers) == self.peak:
            return f"{self.peak:g} throughout the {n} steps"
        text = f"starts at {first:.3g}, "
        if self.still_growing:
            return text + f"is still growing at the end, where it reaches {last:.3g} (step {n - 1})"
        if self.peak_step:
            text += f"reaches {self.peak:.3g} at step {self.peak_step}, "
        return text + f"ends at {last:.3g} (step {n - 1})"


def described(schedule: Schedule, steps: int) -> Described:
    """The schedule over a run of so many steps; nothing is trained.

    Raises:
        InputError: for no steps, or a multiplier that is no number of at least 0.
    """
    if steps < 1:
        raise InputError(wanted="at least 1 step", got=str(steps), remedy="name the length of the run")
    multipliers = tuple(float(schedule(step)) for step in range(steps))
    for step, multiplier in enumerate(multipliers):
        if not 0 <= multiplier < float("inf"):
            raise InputError(
                wanted="a multiplier that is a number of at least 0",
                got=f"{multiplier} at step {step}",
                remedy="mend the schedule: learning rates can't be negative",
            )
    return Described(multipliers)


def plot_schedules(schedules: Mapping[str, Schedule], steps: int, lr: float | None = None) -> Any:
    """A plotly figure of schedules over the steps of a run, by name.

    Args:
        lr: what the multipliers are of; without it they are shown as they are.
    """
    from unweave.charts import lines

    at = list(range(steps))
    rates = {
        name: (at, [(1.0 if lr is None else lr) * value for value in described(schedule, steps).multipliers])
        for name, schedule in schedules.items()
    }
    y_title = "multiplier of the learning rate" if lr is None else "learning rate"
    return lines(rates, title="Learning rate over a run", x_title="step", y_title=y_title)
