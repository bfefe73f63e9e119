"""The steps of a recording while they run, and which of them an output belongs to."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from unweave.journal.redaction import Redactor
from unweave.recorder.streams import StreamBuffer

_MARK = "_unweave_step"
# Threads that work for whoever comes: what they print belongs to the step that runs.
_POOLS = ("concurrent.futures", "multiprocessing.pool", "joblib", "tqdm")


@dataclass(eq=False)
class OpenStep:
    """One step, from before it runs; it stays for what comes late.

    Args:
        n: its number.
        key: by which its outputs name it: the id of the message that asked for it, in a kernel.
        code: with secrets taken out.
        narration: nothing but magics of the journal.
        id: of its entry, once that is written.
        ended: whether it has, and when by the process's own clock.
        late: the streams that something was written to after that.
        put_out: how many outputs it has so far.
        buffers: what its streams hold that is not written yet, by their names.
    """

    n: int
    key: str | None
    code: str
    narration: bool = False
    id: str | None = None
    ended: bool = False
    ended_ns: int = 0
    late: set[str] = field(default_factory=set[str])
    put_out: int = 0
    buffers: dict[str, StreamBuffer] = field(default_factory=dict[str, StreamBuffer])

    def buffer(self, name: str, redactor: Redactor) -> StreamBuffer:
        """The buffer of its stream of this name."""
        if name not in self.buffers:
            self.buffers[name] = StreamBuffer(redactor)
        return self.buffers[name]

    def next_output(self) -> int:
        """The number of the next output."""
        self.put_out += 1
        return self.put_out


class Steps:
    """Those of one recording. Not locked: its recording does that."""

    def __init__(self) -> None:
        self.count = 0
        self.running: list[OpenStep] = []
        self.last: OpenStep | None = None
        self._last_doing: OpenStep | None = None
        self._by_key: dict[str, OpenStep] = {}

    def open(self, key: str | None, code: str, narration: bool) -> OpenStep:
        """A new step, which runs from now on; inside another if that has the same key."""
        self.count += 1
        step = OpenStep(self.count, key, code, narration)
        if not (narration or self.running):
            self._last_doing = step
        self.running.append(step)
        self.last = step
        if key is not None:
            self._by_key[key] = step
        return step

    def close(self, step: OpenStep) -> None:
        """It has ended: what comes now is late, or belongs to the step that ran it."""
        step.ended, step.ended_ns = True, now_ns()
        if step in self.running:
            self.running.remove(step)
        outer = self.within(step.key)
        if step.key is not None and outer is not None:
            self._by_key[step.key] = outer

    @property
    def doing(self) -> OpenStep | None:
        """The outermost step that runs and does something; else the last one that did."""
        running = next((step for step in self.running if not step.narration), None)
        return running or self._last_doing

    def within(self, key: str | None) -> OpenStep | None:
        """The innermost running step of this key; without a key, of all."""
        return next((step for step in reversed(self.running) if key is None or step.key == key), None)

    def of(self, key: str | None) -> OpenStep | None:
        """The step that an output of this thread, under this key, belongs to; None if it is not recorded.

        Args:
            key: what the output itself says; None where outputs name none.
        """
        begun_by = getattr(threading.current_thread(), _MARK, None)
        if isinstance(begun_by, tuple) and begun_by[0] is self:
            return begun_by[1]
        if key is not None:
            return self._by_key.get(key)
        return self.running[-1] if self.running else self.last

    def mark(self, thread: threading.Thread, key: str | None) -> None:
        """Remember which step begins this thread."""
        target: Any = getattr(thread, "_target", None)
        home = f"{type(thread).__module__} {getattr(target, '__module__', '')}"
        if not any(pool in home for pool in _POOLS):
            step = self.of(key)
            if step is not None and not step.ended:
                setattr(thread, _MARK, (self, step))


def now_ns() -> int:
    """The process's own clock."""
    return time.monotonic_ns()
