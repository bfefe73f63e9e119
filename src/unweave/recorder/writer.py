"""The thread that writes: it takes jobs from all others, in order, and commits what has gathered at once.

Nothing that goes wrong here reaches the user's code: what could not be written is kept and tried
again, and told once.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unweave.journal import Journal, JournalError

RETRY_S = 2.0  # between attempts while the journal can't be written
BACKLOG = (
    64 * 2**20
)  # bytes that may wait; who puts out more is slowed down, or, if writing fails, not recorded
SLOWED_S = 5.0


class Job:
    """Something to be written, and the word that it has been, or that it failed (it may be tried again)."""

    def __init__(self, write: Callable[[Journal], Any], size: int) -> None:
        self.write, self.size = write, size
        self.settled = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def wait(self, seconds: float) -> bool:
        """Wait until it is committed, or has failed; False if that takes longer."""
        return self.settled.wait(seconds)

    def refuse(self, why: str) -> None:
        """It will not be written."""
        self.error = RuntimeError(why)
        self.settled.set()


class Writer:
    """Owns the journal's connection, in a thread of its own.

    Args:
        path: of the journal, which must be there.
        tick: called in the thread when `wake_at` is due.
        trouble: called in the thread with what went wrong.
        failing: whether the last attempt to write failed.
    """

    def __init__(self, path: Path, tick: Callable[[], None], trouble: Callable[[str], None]) -> None:
        self._journal = Journal.open(path)
        self._tick, self._trouble = tick, trouble
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._due, self._waiting, self._dropped = float("inf"), 0, 0
        self.failing = self._closing = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="unweave-recorder", daemon=True)
        self._thread.start()
        os.register_at_fork(after_in_child=self._leave)

    @property
    def here(self) -> bool:
        """Whether this process is the one that records: a forked child is not."""
        return os.getpid() == self._process

    def submit(self, write: Callable[[Journal], Any], size: int = 256) -> Job:
        """Have `write` called in the thread, after all that were submitted before.

        Args:
            write: appends to the journal.
            size: about how many bytes it holds in memory meanwhile.
        """
        job = Job(write, size)
        with self._changed:
            if self._closing or not self._thread.is_alive():
                job.refuse("the recorder is closed")
                return job
            if self._waiting + size > BACKLOG and threading.current_thread() is not self._thread:
                if not self.failing:
                    self._changed.wait_for(lambda: self._waiting + size <= BACKLOG, SLOWED_S)
                if self._waiting + size > BACKLOG:
                    self._dropped += 1
                    job.refuse("more waits to be written than the recorder keeps")
                    return job
            self._jobs.append(job)
            self._waiting += size
            self._changed.notify_all()
        return job

    def wake_at(self, due: float) -> None:
        """Have `tick` called at this time of `time.monotonic()`, or before."""
        if due < self._due:
            with self._changed:
                self._due = min(due, self._due)
                self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Write what waits and close the journal; False if that takes longer, or did not go."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive() and not self._jobs

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._jobs and not self._closing:
                    wait = self._due - time.monotonic()
                    if wait > 0:
                        self._changed.wait(None if wait == float("inf") else wait)
                ticks = time.monotonic() >= self._due
                if ticks:
                    self._due = float("inf")
                jobs = [*self._jobs]
            if ticks:
                self._tick()
            if jobs:
                self._write(jobs)
            with self._changed:
                if self._closing and (not self._jobs or self.failing):
                    break
        self._journal.close()

    def _write(self, jobs: list[Job]) -> None:
        try:
            self._commit(jobs)
        except Exception as error:
            # One of them may be the cause: each by itself, so that the others are written.
            for number, job in enumerate(jobs):
                if not self._write_alone(job):
                    self._fail(jobs[number:], error)
                    return
        self.failing = False
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._trouble(f"{dropped} outputs are missing: more waited to be written than the recorder keeps")

    def _write_alone(self, job: Job) -> bool:
        """Write one job, or give it up if it can't be written at all; False if the journal can't be."""
        try:
            self._commit([job])
        except (JournalError, OSError):
            return False
        except Exception as error:
            job.error = error
            self._finished([job])
            self._trouble(f"something could not be recorded ({type(error).__name__}: {error})")
        return True

    def _commit(self, jobs: list[Job]) -> None:
        with self._journal.transaction(durable=False):
            for job in jobs:
                job.result, job.error = job.write(self._journal), None
        self._finished(jobs)

    def _finished(self, jobs: list[Job]) -> None:
        with self._changed:
            for job in jobs:
                self._jobs.popleft()
                self._waiting -= job.size
                job.settled.set()
            self._changed.notify_all()

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        if not self.failing:
            self.failing = True
            self._trouble(f"{error}. What can't be written is kept in memory, and tried again")
        for job in jobs:
            job.error = error
            job.settled.set()
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, RETRY_S)

    def _leave(self) -> None:
        # SQLite must not even close, in a forked child, what its parent opened: keep it for ever.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._journal))
