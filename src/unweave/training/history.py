"""The record of a run, one JSON line a step, written while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from unweave.core.files import write_text_atomic

HISTORY, TIMES, HELD_OUT = "history.jsonl", "times.jsonl", "held_out.jsonl"


@dataclass(frozen=True)
class StepRecord:
    """One training step.

    `loss` (nats) and `accuracy` are of the batch before the update, `grad_norm` is before clipping.
    """

    step: int
    loss: float
    accuracy: float
    lr: float
    grad_norm: float


@dataclass(frozen=True)
class HeldOut:
    """Loss (nats) and accuracy on held-out sequences, after `step` updates."""

    step: int
    loss: float
    accuracy: float


class History(list[StepRecord]):
    """The records so far; `add` also appends to the files, if there are any.

    What two runs with the same config share to the bit stands in `history.jsonl` and `held_out.jsonl`;
    when each step was done, in seconds since 1970, in `times.jsonl`.
    """

    def __init__(self, files: dict[str, TextIO] | None = None) -> None:
        super().__init__()
        self.held_out: list[HeldOut] = []
        self._files = files or {}

    def add(self, record: StepRecord) -> None:
        """Append one step's record, here and to the files."""
        self.append(record)
        self._write(HISTORY, asdict(record))
        self._write(TIMES, {"step": record.step, "at": round(time.time(), 3)})

    def add_held_out(self, record: HeldOut) -> None:
        """Append one measurement on held-out sequences."""
        self.held_out.append(record)
        self._write(HELD_OUT, asdict(record))

    def held_out_after(self, step: int) -> HeldOut | None:
        """What was measured after exactly so many updates, if anything was just then."""
        return self.held_out[-1] if self.held_out and self.held_out[-1].step == step else None

    def _write(self, name: str, line: dict[str, Any]) -> None:
        if name not in self._files:
            return
        file = self._files[name]
        try:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
        except OSError as error:
            # The system says what is wrong, and not with which file.
            raise OSError(error.errno, f"{error.strerror}: a line could not be added", file.name) from error


@contextmanager
def open_history(folder: Path | None, after: int = 0) -> Generator[History]:
    """A history that writes into `folder` (or to memory alone) until the block ends.

    Args:
        after: updates that are done already: what the files say up to there is kept, and what a run
            that was killed said beyond is taken away.
    """
    if folder is None:
        yield History()
        return
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: _opened(folder / name, after) for name in (HISTORY, TIMES, HELD_OUT)}
    try:
        history = History(files)
        history.extend(read_history(folder / HISTORY))
        history.held_out.extend(read_held_out(folder / HELD_OUT))
        yield history
    finally:
        for file in files.values():
            # What could not be written was told, and would be tried, and told, again.
            with suppress(OSError):
                file.close()


def read_history(path: Path) -> list[StepRecord]:
    """The records of a finished or running run; a last line cut short by a crash is left out."""
    return [StepRecord(**json.loads(line)) for line in _whole_lines(path)]


def read_held_out(path: Path) -> list[HeldOut]:
    """The measurements on held-out sequences of a finished or running run."""
    return [HeldOut(**json.loads(line)) for line in _whole_lines(path)]


def read_times(path: Path) -> list[float]:
    """When each step was done, in seconds since 1970; a run that was resumed has a gap."""
    return [json.loads(line)["at"] for line in _whole_lines(path)]


def _whole_lines(path: Path) -> Iterable[str]:
    if not path.exists():
        return []
    return [x for x in path.read_text(encoding="utf-8").splitlines(keepends=True) if x.endswith("\n")]


def _opened(path: Path, after: int) -> TextIO:
    # A held-out line says how many updates were done, the others which update it was.
    last = after if path.name == HELD_OUT else after - 1
    kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= last] if after else []
    write_text_atomic(path, "".join(kept))
    return path.open("a", encoding="utf-8")
