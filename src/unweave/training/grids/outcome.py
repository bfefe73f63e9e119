"""What came of one run, in one small file that says the run is over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

from unweave.core.files import write_json_atomic
from unweave.training.history import HELD_OUT, HISTORY, TIMES, read_held_out, read_history, read_times
from unweave.training.progress import LEAST_SILENCE, SILENT
from unweave.training.spikes import find_spikes

OUTCOME = "outcome.json"
State = Literal["finished", "diverged"]


@dataclass(frozen=True)
class Outcome:
    """A run that is over: it did all its steps, or its loss stopped being finite.

    Args:
        name: the hash of its config.
        steps: that were done.
        loss, accuracy: of the last step's batch, before its update; nats.
        held_out_loss, held_out_accuracy: the last on held-out sequences, if the run measures there.
        spikes: how many loss spikes there were.
        minutes: of training; pauses before it was resumed are left out.
        error: what ended it, if it diverged.
    """

    name: str
    state: State
    steps: int
    loss: float | None
    accuracy: float | None
    held_out_loss: float | None
    held_out_accuracy: float | None
    spikes: int
    minutes: float
    error: str = ""

    @classmethod
    def of(cls, folder: Path, name: str, state: State, error: str = "") -> Outcome:
        """Of the run in this folder, from its history."""
        history, held_out = read_history(folder / HISTORY), read_held_out(folder / HELD_OUT)
        last, held = (history or [None])[-1], (held_out or [None])[-1]
        return cls(
            name,
            state,
            len(history),
            None if last is None else last.loss,
            None if last is None else last.accuracy,
            None if held is None else held.loss,
            None if held is None else held.accuracy,
            len(find_spikes([record.loss for record in history])),
            round(_seconds(read_times(folder / TIMES)) / 60, 4),
            error,
        )

    @classmethod
    def read(cls, folder: Path, name: str) -> Outcome | None:
        """What the folder says came of the run of this name; None if it is not over, or another's."""
        try:
            found = cls(**json.loads((folder / OUTCOME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.name == name else None

    def write(self, folder: Path) -> None:
        """Say in the folder that the run is over; everything else must have been written before."""
        write_json_atomic(folder / OUTCOME, asdict(self))


def _seconds(times: Sequence[float]) -> float:
    """From the first step to the last, without the gaps in which nothing ran."""
    gaps = [after - before for before, after in pairwise(times)]
    if not gaps:
        return 0.0
    longest = max(SILENT * median(gaps), LEAST_SILENCE)
    # The first step has no gap before it: it took about as long as the others.
    return median(gaps) + sum(gap for gap in gaps if 0 <= gap <= longest)
