"""Workers that are tasks of a Ray cluster.

The machines of a cluster need share no files. A task trains in a folder of its own machine, and posts every
checkpoint, and at the end the whole run, to a mailbox beside whoever called; the caller alone writes into the
grid's folder. So every result is written by one process, once, and a run whose machine is lost goes on elsewhere
from its last posted checkpoint. What comes from an attempt that was given up on, since its machine was taken for
lost, is thrown away.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, final

import torch

import unweave
from unweave.core.errors import InputError
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.grids.crew import Crew
from unweave.training.grids.job import APART, Ended, Job, Reported, perform
from unweave.training.grids.parcel import CHECKPOINTS, Parcel, packed, to_go_on, unpack
from unweave.training.history import HeldOut, StepRecord
from unweave.training.processes import Processes
from unweave.training.surroundings import Surroundings
from unweave.training.tracking import Tracker


@dataclass(frozen=True)
class Letter:
    """What a task posts while it trains: how far it is, and the checkpoints that are new."""

    report: Reported
    parcel: Parcel = field(default_factory=dict[str, bytes])


@final
class RayCrew(Crew):
    """Tasks of a Ray cluster, as many at once as its processors allow.

    Args:
        address: of the cluster; None is RAY_ADDRESS, or else one of this machine, begun here and ended after.
        size: tasks at once, at most; None is no limit but the cluster's.
        threads: processors that each task asks for.
    """

    def __init__(self, address: str | None, size: int | None, threads: int) -> None:
        self._ray = import_module("ray")
        self._size, self._threads = size, threads
        self._jobs: dict[Any, Job] = {}
        self._heard: set[tuple[str, int]] = set()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            # A cluster that is begun here reports nothing to its makers, unless the user says so.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        node = self._ray.get_runtime_context().get_node_id()
        here = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
            node, soft=False
        )
        self._mailbox = self._ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote()
        # Ray would begin a lost task again as it was; this way it goes on from its last checkpoint.
        options: dict[str, Any] = {"num_cpus": threads, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        self._task = self._ray.remote(**options)(work)

    @property
    def told(self) -> str:
        """Who they are, in words."""
        nodes = sum(node["Alive"] for node in self._ray.nodes())
        threads = "1 thread" if self._threads == 1 else f"{self._threads} threads"
        return f"Ray: {nodes} {'node' if nodes == 1 else 'nodes'}, {self._room()} runs of {threads} at once"

    def free(self) -> int:
        """How many more jobs can be begun now; machines that join or leave count at once."""
        return self._room() - len(self._jobs)

    def start(self, job: Job) -> None:
        """Give a job to the cluster, with what an earlier attempt has posted."""
        parcel = self._ray.put(to_go_on(job.folder))
        self._jobs[self._task.remote(job, parcel, self._mailbox, unweave.__version__)] = job

    def events(self, timeout: float) -> Sequence[Reported | Ended]:
        """What has happened; waits at most so many seconds for something."""
        if not self._jobs:
            time.sleep(timeout)
            return []
        done, _ = self._ray.wait(list(self._jobs), timeout=timeout)
        events: list[Reported | Ended] = []
        running = {(job.name, job.attempt): job for job in self._jobs.values()}
        for letter in self._ray.get(self._mailbox.take.remote()):
            job = running.get((letter.report.name, letter.report.attempt))
            if job is not None:
                unpack(letter.parcel, job.folder)
                self._heard.add((job.name, job.attempt))
                events.append(letter.report)
        return [*events, *(self._ended(task) for task in done)]

    def stop(self) -> None:
        """Ask every task to stop after its step, and post its checkpoint; take back those that did not begin."""
        self._ray.get(self._mailbox.stop.remote())
        for task, job in self._jobs.items():
            if (job.name, job.attempt) not in self._heard:
                self._ray.cancel(task)

    def close(self) -> None:
        """End every task; at once, if it has not ended by itself."""
        for task in self._jobs:
            self._ray.cancel(task, force=True)
        self._jobs.clear()
        self._ray.kill(self._mailbox)
        if self._ours:
            self._ray.shutdown()

    def _room(self) -> int:
        room = int(self._ray.cluster_resources().get("CPU", 0) // self._threads)
        # Even a cluster without room may grow: a task waits there until it does.
        return max(1, room if self._size is None else min(room, self._size))

    def _ended(self, task: Any) -> Ended:
        job = self._jobs.pop(task)
        try:
            ended, parcel = self._ray.get(task)
        except self._ray.exceptions.TaskCancelledError:
            return Ended(job.name, job.attempt, "stopped", again=True)
        except self._ray.exceptions.RayError as error:
            why = str(error).strip().splitlines()
            said = f"{type(error).__name__}: {why[0] if why else ''}"
            return Ended(job.name, job.attempt, "died", said, again=True)
        unpack(parcel, job.folder)
        return ended


class Mailbox:
    """Holds what tasks post until the caller takes it; lives on the caller's machine."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._stopping = False

    def put(self, letter: Letter) -> bool:
        """Leave a letter; whether the task should stop."""
        self._letters.append(letter)
        return self._stopping

    def take(self) -> list[Letter]:
        """The letters since the last time."""
        letters, self._letters = self._letters, []
        return letters

    def stop(self) -> None:
        """From now on every task is told to stop."""
        self._stopping = True


class Post(Tracker):
    """Posts about twice a second how far the run is, with the checkpoints that are new."""

    def __init__(self, job: Job, mailbox: Any, posted: set[str]) -> None:
        self._job, self._mailbox, self.posted, self._next = job, mailbox, posted, 0.0

    def record(self, record: StepRecord, held_out: HeldOut | None) -> None:
        """One step is done."""
        if time.monotonic() < self._next:
            return
        new = [c.name for c in list_checkpoints(self._job.folder / CHECKPOINTS) if c.name not in self.posted]
        parcel = packed(self._job.folder, without=self.posted) if new else {}
        report = Reported(self._job.name, self._job.attempt, record.step + 1, record.loss)
        ray = import_module("ray")
        if ray.get(self._mailbox.put.remote(Letter(report, parcel))):
            signal.raise_signal(signal.SIGINT)
        self.posted |= set(new)
        self._next = time.monotonic() + APART

    def close(self) -> None:
        """What is left is the task's answer."""


def work(job: Job, parcel: Parcel, mailbox: Any, version: str) -> tuple[Ended, Parcel]:
    """The task: train the run in a folder of this machine, and hand back all that was not posted."""
    if version != unweave.__version__:
        why = (
            f"{platform.node()} has unweave {unweave.__version__}, not {version}: install the same everywhere"
        )
        return Ended(job.name, job.attempt, "failed", why), {}
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(job.threads)
    scratch = Path(tempfile.mkdtemp(prefix="unweave-grid-"))
    try:
        here = replace(job, folder=scratch / job.name)
        unpack(parcel, here.folder)
        post = Post(here, mailbox, _kept(here))
        ended = perform(here, post)
        return ended, packed(here.folder, without=post.posted)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _kept(job: Job) -> set[str]:
    """The checkpoints that the run goes on from: none, if it would go on otherwise on this machine."""
    found = list_checkpoints(job.folder / CHECKPOINTS)
    try:
        device = torch.device(str(job.values["model"]["device"]))
        for path in found:
            Surroundings.here(device, Processes()).require_same(Checkpoint.opened(path).surroundings)
    except InputError:
        # Begun on another kind of processor: it begins anew here, so that it is still one run, to the bit.
        shutil.rmtree(job.folder)
        return set()
    return {path.name for path in found}
