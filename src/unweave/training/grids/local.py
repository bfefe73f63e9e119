"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, final

from unweave.training.grids.crew import Crew
from unweave.training.grids.job import Ended, Job, Reported, Reports, perform

GRACE = 5.0  # seconds that an idle worker is given to end


@dataclass
class _Worker:
    process: BaseProcess
    line: Any  # a Connection; Windows has another class for it
    job: Job | None = None


@final
class LocalCrew(Crew):
    """Processes begun afresh ("spawn"), each of which does one run after another.

    Args:
        size: how many.
        threads: of each.
    """

    def __init__(self, size: int, threads: int) -> None:
        self._size, self._threads = size, threads
        self._workers: list[_Worker] = []

    @property
    def told(self) -> str:
        """Who they are, in words."""
        threads = "1 thread" if self._threads == 1 else f"{self._threads} threads"
        cores = f"{os.cpu_count()} logical cores"
        return f"{self._size} {'process' if self._size == 1 else 'processes'} of {threads} each, on {cores}"

    def free(self) -> int:
        """How many more jobs can be begun now."""
        return self._size - sum(worker.job is not None for worker in self._workers)

    def start(self, job: Job) -> None:
        """Give a job to a worker that is free; a new one, if none is there."""
        while idle := [worker for worker in self._workers if worker.job is None]:
            try:
                idle[0].line.send(job)
                idle[0].job = job
                return
            except OSError:  # It died while it had nothing to do.
                self._forget(idle[0])
        worker = _begun()
        self._workers.append(worker)
        # If it is dead already, the end of its line says so in `events`.
        worker.job = job
        with suppress(OSError):
            worker.line.send(job)

    def events(self, timeout: float) -> Sequence[Reported | Ended]:
        """What has happened; waits at most so many seconds for something."""
        lines = {worker.line: worker for worker in self._workers}
        return [event for line in wait(list(lines), timeout) for event in self._heard(lines[line])]

    def stop(self) -> None:
        """Ask every worker to stop after its step, with a checkpoint; each says that it ended."""
        for worker in self._workers:
            with suppress(OSError):
                worker.line.send(None)

    def close(self) -> None:
        """End every worker; at once, if it has not ended by itself."""
        self.stop()
        for worker in self._workers:
            worker.process.join(GRACE if worker.job is None else 0)
            worker.process.kill()
            worker.process.join()
            worker.line.close()
        self._workers.clear()

    def _heard(self, worker: _Worker) -> list[Reported | Ended]:
        events: list[Reported | Ended] = []
        try:
            while worker.line.poll():
                events.append(worker.line.recv())
        except (EOFError, OSError):
            worker.process.join()
            if worker.job is not None and not any(isinstance(event, Ended) for event in events):
                why = _death(worker.process.exitcode)
                events.append(Ended(worker.job.name, worker.job.attempt, "died", why, again=True))
            self._forget(worker)
        if any(isinstance(event, Ended) for event in events):
            worker.job = None
        return events

    def _forget(self, worker: _Worker) -> None:
        worker.line.close()
        self._workers.remove(worker)


def _begun() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    # Otherwise the line would not end when the worker does.
    theirs.close()
    return _Worker(process, ours)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"the worker was ended by {name}" + (": out of memory, perhaps" if name == "SIGKILL" else "")
    return f"the worker ended with exit code {code}"


def serve(line: Any) -> None:
    """The worker's own: do jobs until told to stop, or until whoever gave them is gone."""
    if hasattr(os, "setpgrp"):
        # The terminal's Ctrl-C goes to whoever gave the jobs, who then says so here, once.
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def send(event: Reported | Ended) -> None:
        # Whoever gave the jobs may be gone: then the run is stopped, with its checkpoint, by `_listen`.
        with suppress(OSError):
            line.send(event)

    jobs: queue.Queue[Job | None] = queue.Queue()
    threading.Thread(target=_listen, args=(line, jobs), daemon=True).start()
    try:
        while (job := jobs.get()) is not None:
            send(perform(job, Reports(job, send)))
    except KeyboardInterrupt:
        # Told to stop between two jobs.
        return


def _listen(line: Any, jobs: queue.Queue[Job | None]) -> None:
    with suppress(EOFError, OSError):
        while (job := line.recv()) is not None:
            jobs.put(job)
    # As Ctrl-C would: a run that goes on writes a checkpoint after its step.
    signal.raise_signal(signal.SIGINT)
    jobs.put(None)
