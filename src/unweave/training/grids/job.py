"""What a worker is given, what it does with it, and what it says meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from unweave.core.errors import InputError
from unweave.training.grids.outcome import Outcome, State
from unweave.training.history import HeldOut, StepRecord
from unweave.training.loop import train
from unweave.training.run_file import RunConfig
from unweave.training.tracking import Tracker
from unweave.training.update import TrainingDiverged

How = Literal["finished", "diverged", "failed", "died", "stopped"]
APART = 0.5  # seconds between two reports of one run


@dataclass(frozen=True)
class Job:
    """One attempt at one run.

    Args:
        name: the run's.
        attempt: counted from 1.
        values: the run's config, as JSON values.
        folder: where it trains.
        threads: that share a product.
    """

    name: str
    attempt: int
    values: Mapping[str, Any]
    folder: Path
    threads: int


@dataclass(frozen=True)
class Reported:
    """So many steps of a run are done, and the last one's loss."""

    name: str
    attempt: int
    step: int
    loss: float


@dataclass(frozen=True)
class Ended:
    """An attempt is over.

    Args:
        how: "finished", or "diverged", which is a result too; "failed" by an error, "died" without a word,
            "stopped" because it was told to.
        why: in words, where there is something to say.
        again: whether another attempt may end otherwise. A run is a function of its config: an error in it comes
            again; a worker's death, or a full disk, need not.
    """

    name: str
    attempt: int
    how: How
    why: str = ""
    again: bool = False


def perform(job: Job, tracker: Tracker) -> Ended:
    """Train the run in its folder, going on from its last checkpoint there, and write what came of it.

    The first Ctrl-C that reaches this process stops it after the step, with a checkpoint.
    """
    torch.set_num_threads(job.threads)
    state: State = "finished"
    why = ""
    try:
        run = RunConfig.from_dict(job.values)
        with _alone(job.folder):
            try:
                train(run.build(), run.task, run.training, job.folder, resume=True, trackers=[tracker])
            except TrainingDiverged as error:
                state, why = "diverged", str(error)
            _over(job, state, why)
    except KeyboardInterrupt as stop:
        return Ended(job.name, job.attempt, "stopped", str(stop), again=True)
    except Exception as error:
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return Ended(job.name, job.attempt, "failed", said, again=isinstance(error, OSError))
    return Ended(job.name, job.attempt, state, why)


def _over(job: Job, state: State, why: str) -> None:
    Outcome.of(job.folder, job.name, state, why).write(job.folder)


class Reports(Tracker):
    """Says every half second how far the run is, and first of all that it began."""

    def __init__(self, job: Job, send: Callable[[Reported], None]) -> None:
        self._job, self._send, self._next = job, send, 0.0

    def record(self, record: StepRecord, held_out: HeldOut | None) -> None:
        """One step is done."""
        last = record.step + 1 == self._job.values["training"]["steps"]
        if last or time.monotonic() >= self._next:
            self._send(Reported(self._job.name, self._job.attempt, record.step + 1, record.loss))
            self._next = time.monotonic() + APART

    def close(self) -> None:
        """Nothing is left to say."""


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Within the block no other process of ours trains in this folder: whoever comes second waits.

    One may still be there: the worker of a grid that was killed finishes its step before it goes.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    locks = folder.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / folder.name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
