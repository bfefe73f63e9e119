"""One session while it is recorded: steps, what they put out, and what is said about them."""

from __future__ import annotations

import base64
import contextlib
import math
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from unweave.core import events
from unweave.core.errors import InputError
from unweave.journal import Entry, Journal, JournalError, locate
from unweave.journal.entries import fresh_id, now
from unweave.journal.redaction import Redactor
from unweave.journal.session_log import SessionLog
from unweave.journal.sessions import this_process
from unweave.recorder import machine
from unweave.recorder.code_version import CodeVersion
from unweave.recorder.evidence import evidence
from unweave.recorder.steps import OpenStep, Steps, now_ns
from unweave.recorder.writer import Job, Writer

COMMIT_S = 1.0  # how long a step waits, before it runs, until it is committed
CLOSE_S = 10.0
PIPED_NS = 1_000_000_000  # how long a child's output may be on its way to here
BUSY_S = 0.02  # until the writer looks again, where others are handing it something

T = TypeVar("T")


class Recording:
    """A session that is being recorded. Its methods never raise for what goes wrong with the journal.

    Args:
        path: of the journal; made where there is none.
        title: may be empty.
        sort: "kernel", "terminal" or "script".
        warn: shows a person one line, when something can't be recorded.

    Raises:
        InputError, JournalError: if the journal can't be opened at all.
    """

    def __init__(
        self, path: Path | str | None, *, title: str = "", sort: str = "script", warn: Callable[[str], None]
    ) -> None:
        self.path = locate(path)
        Journal.open(self.path, create=True).close()
        self.redactor = Redactor()
        self.id, self.sort, self.title = fresh_id(), sort, self.redactor.text(title)
        self.state = "recording"
        self.troubles: list[str] = []
        self.steps = Steps()
        self.started_ns = now_ns()
        self._warn, self._lock = warn, threading.RLock()
        self._buffers: dict[tuple[int, str], OpenStep] = {}  # streams that hold something, and whose
        self._code = CodeVersion(Path.cwd())
        self._writer = Writer(self.path, self._tick, self.degrade)
        facts = {
            **this_process(),
            "directory": str(Path.cwd()),
            "program": Path(sys.argv[0]).name if sys.argv else "",
            "versions": machine.versions(),
            "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
            "at": now(),
            "monotonic_ns": self.started_ns,
        }
        self._submit(
            lambda journal: SessionLog.begin(
                journal, title=self.title, sort=sort, facts=self.redactor.value(facts), id=self.id
            )
        ).wait(CLOSE_S)
        events.listen(self._heard)

    @property
    def recording(self) -> bool:
        """Whether steps that begin now are recorded; never in a forked child."""
        return self.state == "recording" and self._writer.here

    @property
    def open(self) -> bool:
        """Whether steps that have begun are recorded to their end; never in a forked child."""
        return self.state != "stopped" and self._writer.here

    def begin(self, code: str, *, key: str | None = None, narration: bool = False, **facts: Any) -> OpenStep:
        """A step is about to run; it is committed when this returns, unless the journal is held up for over a second.

        Args:
            code: as it was typed.
            key: by which outputs name it.
            narration: nothing but magics of the journal.
            facts: JSON values to be kept with it; None is left out.
        """
        self.redactor.refresh()
        self.redactor.learn_from(code)
        at, clock = now(), now_ns()
        noted = {name: value for name, value in facts.items() if value is not None} | self._surroundings()
        noted |= {"at": at, "monotonic_ns": clock} | ({"narration": True} if narration else {})
        with self._lock:
            outer = self.steps.within(key)
            step = self.steps.open(key, self.redactor.text(code), narration)

        def write(journal: Journal) -> Entry:
            within = {} if outer is None or outer.id is None else {"within": outer.id}
            clean = self.redactor.value({**noted, **within})
            entry = SessionLog(journal, self.id).step_started(n=step.n, code=step.code, facts=clean)
            step.id = entry.id
            return entry

        job = self._submit(write, len(code) + 1024)
        if not self._writer.failing:
            job.wait(COMMIT_S)
        return step

    def end(self, step: OpenStep, status: str) -> None:
        """A step has ended, with all that it printed."""
        at, clock = now(), now_ns()
        with self._lock:
            self._take(step, final=True)
            self.steps.close(step)
            self._submit(
                lambda journal: SessionLog(journal, self.id).step_ended(
                    self._id(step), status=status, facts={"at": at, "monotonic_ns": clock}
                )
            )
        self._code.ask_soon()

    def write(self, step: OpenStep, name: str, text: str, *, piped: bool = False) -> None:
        """A step printed something.

        Args:
            step: whose it is.
            name: "stdout" or "stderr".
            text: what.
            piped: whether a child process wrote it, and so it may be heard a moment after the step has ended.
        """
        if not (text and self.open):
            return
        with self._lock:
            if step.ended and not (piped and now_ns() - step.ended_ns < PIPED_NS):
                step.late.add(name)
            buffer = step.buffer(name, self.redactor)
            first = buffer.add(text)
            self._buffers[step.n, name] = step
            if buffer.large:
                self._take(step, name)
            elif first:
                self._writer.wake_at(time.monotonic() + buffer.delay)

    def output(self, step: OpenStep, sort: str, data: Mapping[str, Any], **facts: Any) -> None:
        """A step put out something else than text to a stream.

        Args:
            step: whose it is.
            sort: "display", "update", "result", "error" or "clear".
            data: the MIME bundle.
            facts: "metadata", "display_id", "execution_count", "error"; None is left out.
        """
        if not self.open:
            return
        with self._lock:
            self._take(step)
            self._put(
                step, sort, dict(data), {name: value for name, value in facts.items() if value is not None}
            )

    def say(self, kind: str, body: Mapping[str, Any], about: str | OpenStep | None = None) -> Entry:
        """Write an entry of the journal into this session: a prediction, a note, a why.

        Args:
            kind: of the entry.
            body: JSON values.
            about: the entry, or the step, that it is about.

        Raises:
            InputError: for what can't be written.
            JournalError: if it could not be written yet, which is said at once; it is tried again.
        """

        def write(journal: Journal) -> Entry | InputError:
            target = self._id(about) if isinstance(about, OpenStep) else about
            try:
                clean = self.redactor.value(body)
                return journal.append(kind, clean, session=self.id, about=target, durable=False)
            except InputError as error:  # the fault of who said it, and nothing that the recording lacks
                return error

        return self._waited(self._submit(write, 1024))

    def read(self, look: Callable[[Journal], T]) -> T:
        """What `look` finds in the journal, after everything so far has been written."""
        return self._waited(self._submit(look, 0))

    def pause(self) -> None:
        """Record no steps until `resume()`; those that run are recorded to their end."""
        self._change("paused", lambda log: log.paused({"monotonic_ns": now_ns()}))

    def resume(self) -> None:
        """Record steps again."""
        self._change("recording", lambda log: log.resumed({"monotonic_ns": now_ns()}))

    def stop(self, reason: str = "asked") -> bool:
        """End the session; False if something is still not written.

        Args:
            reason: "asked", or "exit" where the process ends.
        """
        if self.state == "stopped" or not self._writer.here:
            return True
        events.unlisten(self._heard)
        with self._lock:
            for step in {*self._buffers.values()}:
                self._take(step, final=True)
            for step in reversed(self.steps.running):
                self.end(step, "interrupted" if reason == "exit" else "ok")
            facts = {
                "reason": reason,
                "steps": self.steps.count,
                "troubles": self.troubles,
                "monotonic_ns": now_ns(),
            }
            self._submit(lambda journal: SessionLog(journal, self.id).stopped(self.redactor.value(facts)))
            self.state = "stopped"
        return self._writer.close(CLOSE_S)

    def degrade(self, reason: str) -> None:
        """Something could not be recorded: say so, once for each reason, and note it in the session."""
        reason = self.redactor.text(reason)
        if reason in self.troubles or not self._writer.here:
            return
        self.troubles.append(reason)
        self._submit(lambda journal: SessionLog(journal, self.id).degraded(reason))
        with contextlib.suppress(Exception):
            self._warn(f"Unweave: the recording is incomplete: {reason}")

    def _change(self, state: str, write: Callable[[SessionLog], Entry]) -> None:
        if self.state in (state, "stopped"):
            return
        self.state = state
        self._submit(lambda journal: write(SessionLog(journal, self.id))).wait(CLOSE_S)

    def _waited(self, job: Job) -> Any:
        if not job.wait(CLOSE_S):
            raise JournalError(
                f"the journal {self.path} could not be reached for {CLOSE_S:g} s; it is tried again"
            )
        failed = job.error or job.result
        if isinstance(failed, BaseException):
            raise failed
        return job.result

    def _submit(self, write: Callable[[Journal], Any], size: int = 256) -> Job:
        return self._writer.submit(write, size)

    def _tick(self) -> None:
        """Write what has been gathered; called in the writer's thread, which must not wait for those who wait for it."""
        if not self._lock.acquire(blocking=False):
            self._writer.wake_at(time.monotonic() + BUSY_S)
            return
        try:
            for (_, name), step in [*self._buffers.items()]:
                self._take(step, name)
        finally:
            self._lock.release()

    def _take(self, step: OpenStep, name: str | None = None, final: bool = False) -> None:
        """Hand the writer what a step's streams hold."""
        for stream in [name] if name else [*step.buffers]:
            if final or (step.n, stream) in self._buffers:
                text = step.buffers[stream].take(final)
                if not (step.ended and step.buffers[stream].holds):
                    self._buffers.pop((step.n, stream), None)
                if text:
                    self._put(step, "stream", {"text/plain": text}, {"name": stream})

    def _put(self, step: OpenStep, sort: str, data: dict[str, Any], facts: dict[str, Any]) -> None:
        n, late = step.next_output(), step.ended
        if sort == "stream":
            late = facts["name"] in step.late
        facts = {**facts, "at": now(), "monotonic_ns": now_ns(), **({"late": True} if late else {})}

        def write(journal: Journal) -> Entry:
            self.redactor.refresh()
            found = Counter[str]()
            clean = self.redactor.bundle(_json(data), found)
            noted = self.redactor.value(_json(facts), found)
            if found:
                noted["redacted"] = dict(found)
            return SessionLog(journal, self.id).output(
                self._id(step), n=n, sort=sort, data=clean, facts=noted
            )

        self._submit(write, _size(data) + 512)

    def _surroundings(self) -> dict[str, Any]:
        """What the step runs on and from; what of it can't be told is left out, and said."""
        found = dict[str, Any]()
        told: dict[str, Callable[[], dict[str, Any]]] = {
            "code version": self._code.now,
            "seeds": lambda: {"seeds": machine.seeds()},
            "device": lambda: {"device": machine.device()},
        }
        for name, tell in told.items():
            try:
                found |= tell()
            except Exception as error:
                self.degrade(f"the {name} of steps could not be told ({type(error).__name__}: {error})")
        return found

    def _heard(self, event: events.Event) -> None:
        """A sweep, training run or experiment: evidence, if it ran in a step."""
        if not self.open:
            return
        with self._lock:
            step = self.steps.of(None) if self.steps.running else None
        if step is not None:
            facts = _json(event.facts)

            def write(journal: Journal) -> Entry:
                body = self.redactor.value(evidence(event.kind, facts, self._id(step)))
                return journal.append("evidence", body, session=self.id, durable=False)

            self._submit(write, 2048)

    def _id(self, step: OpenStep) -> str:
        assert step.id is not None, "a step is written before what it puts out"
        return step.id


def _json(value: Any) -> Any:
    """`value` as JSON values: what is none becomes text, NaN and infinities become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    return str(value)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(part) + 32 for part in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(part) + 16 for part in value)
    return 16
