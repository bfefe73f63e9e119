"""How far a run has come, read from its folder while it goes on, or afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from unweave.core.errors import InputError
from unweave.training.history import (
    HELD_OUT,
    HISTORY,
    TIMES,
    HeldOut,
    StepRecord,
    read_held_out,
    read_history,
    read_times,
)
from unweave.training.run_file import RUN, read_values
from unweave.training.spikes import Spike, find_spikes

RECENT = 50  # steps from which the pace is taken
SILENT = 20.0  # a run that has been silent for so many of its steps' times is taken for stopped
LEAST_SILENCE = 10.0  # seconds, and no fewer than these


@dataclass(frozen=True)
class Progress:
    """A run as its files say.

    Args:
        steps: that were asked for.
        history: one record a step that was done.
        pace: seconds a step, the median of the last ones; None before the second.
        silent: seconds since the last step.
    """

    steps: int
    history: list[StepRecord]
    held_out: list[HeldOut]
    pace: float | None
    silent: float | None

    @classmethod
    def read(cls, folder: Path, now: float | None = None) -> Progress:
        """What the folder of a run says.

        Raises:
            InputError: if it is no run's.
        """
        if not (folder / RUN).exists():
            raise InputError(
                wanted="the folder of a run",
                got=f"{folder}, without a {RUN}",
                remedy="name one that unweave train --out wrote",
            )
        history, times = read_history(folder / HISTORY), read_times(folder / TIMES)
        gaps = [after - before for before, after in pairwise(times[-RECENT:])]
        now = time.time() if now is None else now
        return cls(
            int(read_values(folder)["training"]["steps"]),
            history,
            read_held_out(folder / HELD_OUT),
            median(gaps) if gaps else None,
            now - times[-1] if times else None,
        )

    @property
    def done(self) -> bool:
        """Whether every step was done."""
        return len(self.history) >= self.steps

    @property
    def stopped(self) -> bool:
        """Whether nothing has come for much longer than a step takes."""
        if self.done or self.silent is None or self.pace is None:
            return False
        return self.silent > max(SILENT * self.pace, LEAST_SILENCE)

    @property
    def left(self) -> float | None:
        """Seconds that are left at the pace of the last steps."""
        return None if self.pace is None else self.pace * (self.steps - len(self.history))

    @property
    def spikes(self) -> list[Spike]:
        """The loss spikes so far."""
        return find_spikes([record.loss for record in self.history])
