"""The record of a run, one JSON line a step, written while it runs."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class StepRecord:
    """One training step.

    `loss` (nats) and `accuracy` are of the batch before the update, `grad_norm` is before
    clipping, `seconds` counts from the start of the run.
    """

    step: int
    loss: float
    accuracy: float
    lr: float
    grad_norm: float
    seconds: float


class History(list[StepRecord]):
    """The records so far; `add` also appends to the file, if there is one."""

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__()
        self._file = file

    def add(self, record: StepRecord) -> None:
        """Append one step's record, here and to the file."""
        self.append(record)
        if self._file is not None:
            self._file.write(json.dumps(asdict(record), allow_nan=False) + "\n")
            self._file.flush()


@contextmanager
def open_history(path: Path | None) -> Generator[History]:
    """A history that writes to `path` (or to memory alone) until the block ends."""
    if path is None:
        yield History()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        yield History(file)


def read_history(path: Path) -> list[StepRecord]:
    """The records of a finished or running run; a last line cut short by a crash is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [StepRecord(**json.loads(line)) for line in lines if line.endswith("\n")]
