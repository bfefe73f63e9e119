"""Sessions as they are read: steps in order, each with what it put out, and everything in time."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.entries import Entry
from unweave.journal.outputs import Output, joined, shortened, shown, whole
from unweave.journal.store import Journal


@dataclass(frozen=True)
class Step:
    """One cell that was run.

    Args:
        id: of the entry that began it.
        n: its number in the session, from 1.
        code: as it was typed; of code above 64 KiB, head and tail (`whole_code()` has all).
        status: "ok", "error", "interrupted" or "running". One that never ended in a session that nobody
            writes any more was interrupted.
        execution_count: In [this]; None where there is none.
        started: UTC; None where it was imported without times.
        ended: UTC; None if it did not end, or has no times.
        seconds: by the process's own clock; None as above.
        outputs_count: how many entries it put out.
        private: whether exports leave it out.
        narration: whether it holds nothing but magics of the journal.
        whys: how many words were said of why it is what was wanted, or that an assistant wrote it.
        within: the id of the step that ran it, if it was nested.
        facts: everything else that was noted when it began: "version", "changed", "seeds", "device", "cell_id", …
    """

    id: str
    n: int
    code: str
    status: str
    execution_count: int | None
    started: str | None
    ended: str | None
    seconds: float | None
    outputs_count: int
    private: bool
    narration: bool
    whys: int
    within: str | None
    facts: Mapping[str, Any]
    journal: Journal = field(repr=False, compare=False)
    raw_code: Any = field(default="", repr=False, compare=False)

    def whole_code(self) -> str:
        """The code, all of it."""
        return str(whole(self.raw_code, self.journal.blobs))

    def outputs(self) -> tuple[Output, ...]:
        """All outputs in order; parts of one stream that follow each other are joined."""
        return joined(self._outputs())

    def shown(self) -> tuple[Output, ...]:
        """What stood under the cell in the end: updates made, cleared outputs gone."""
        return shown(self._outputs())

    def reasons(self) -> tuple[tuple[str, bool], ...]:
        """What was said of why, and whether it marks code that an assistant filled in."""
        entries = self.journal.entries("why", about=self.id)
        return tuple((e.body["text"], e.body.get("assistant", False)) for e in entries if e.body)

    def _outputs(self) -> list[Output]:
        return [
            Output.of(entry, self.journal.blobs) for entry in self.journal.entries("output", about=self.id)
        ]


@dataclass(frozen=True)
class Session:
    """A recorded session.

    Args:
        id: of all its entries.
        title: may be empty.
        sort: "kernel", "terminal", "script" or "import".
        state: "recording", "paused", "stopped" or "interrupted" (nobody stopped it, and its process is gone).
        started: UTC.
        ended: UTC, when it was stopped; of an interrupted one, when it last wrote.
        step_count: how many steps it has.
        failed: how many of them ended with an error.
        degraded: how often something could not be recorded.
        facts: where it was recorded: "host", "directory", "versions", …
    """

    id: str
    title: str
    sort: str
    state: str
    started: str
    ended: str | None
    step_count: int
    failed: int
    degraded: int
    facts: Mapping[str, Any]
    journal: Journal = field(repr=False, compare=False)

    def steps(self) -> tuple[Step, ...]:
        """Its steps in order."""
        with self.journal.reading() as connection:
            rows = connection.execute(_STEPS, (self.id,)).fetchall()
        alive = self.state in ("recording", "paused")
        begun, ended = _parsed(row[6] for row in rows), _parsed(row[7] for row in rows)
        return tuple(
            _step(row, facts, end, self.journal, alive)
            for row, facts, end in zip(rows, begun, ended, strict=True)
        )

    def step(self, which: int | str) -> Step:
        """The step of this number or id.

        Raises:
            InputError: if there is none.
        """
        for step in self.steps():
            if which in (step.n, step.id):
                return step
        raise InputError(
            wanted=f"a step of the session {self.id}",
            got=repr(which),
            remedy=f"it has 1 to {self.step_count}",
        )

    def timeline(self) -> Iterator[Entry]:
        """Every entry of the session in order: steps, outputs, predictions, notes, and the rest."""
        return self.journal.entries(session=self.id)

    def attachments(self) -> tuple[Mapping[str, Any], ...]:
        """Recordings made elsewhere: "path", "offset_s", "sha256", "size", "mime", "note"."""
        return tuple(e.body for e in self.journal.entries("attachment", session=self.id) if e.body)


def sessions(journal: Journal) -> tuple[Session, ...]:
    """All sessions of a journal, in the order in which they began."""
    with journal.reading() as connection:
        rows = connection.execute(f"{_SESSIONS} ORDER BY s.seq").fetchall()
    return tuple(_session(row, journal) for row in rows)


def session(journal: Journal, id: str) -> Session:
    """The session of this id, or whose id alone begins or ends so; "last" is the latest.

    Raises:
        InputError: if there is none, or several.
    """
    with journal.reading() as connection:
        if id == "last":
            rows = connection.execute(f"{_SESSIONS} ORDER BY s.seq DESC LIMIT 1").fetchall()
        else:
            rows = connection.execute(f"{_SESSIONS} WHERE s.id = ?", (id,)).fetchall()
            if not rows and len(id) >= 3 and id.isalnum():
                clause = f"{_SESSIONS} WHERE s.id LIKE ? OR s.id LIKE ?"
                rows = connection.execute(clause, (f"{id}%", f"%{id}")).fetchall()
    if len(rows) == 1:
        return _session(rows[0], journal)
    raise InputError(
        wanted=f"the id of one session in {journal.path.name}",
        got=f"{id!r}, which {'none has' if not rows else 'several have'}",
        remedy="`unweave session list` lists them",
    )


def this_process() -> dict[str, Any]:
    """What tells readers whether the process that writes a session is still there."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": _process_started(os.getpid()),
    }


def is_written(facts: Mapping[str, Any]) -> bool:
    """Whether the process that `this_process()` told of is there; one on another machine is taken to be.

    A process number may be given to another program: the time at which it started tells them apart.
    """
    pid = facts.get("pid")
    if not isinstance(pid, int):
        return False
    if facts.get("host") != socket.gethostname():
        return True
    started = _process_started(pid)
    if started is not None or _has_proc():
        return started is not None and started == facts.get("process_started")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


_SESSIONS = """
    SELECT s.id, s.started, s.state, s.ended, s.last, s.degraded, b.body,
        (SELECT count(*) FROM steps WHERE steps.session = s.id),
        (SELECT count(*) FROM steps WHERE steps.session = s.id AND steps.status = 'error')
    FROM sessions AS s LEFT JOIN bodies AS b ON b.seq = s.seq
"""
_STEPS = """
    SELECT t.id, e.time, t.status, t.outputs, t.private, t.why, b.body, ended.body, done.time
    FROM steps AS t JOIN entries AS e ON e.seq = t.seq
        LEFT JOIN bodies AS b ON b.seq = t.seq
        LEFT JOIN bodies AS ended ON ended.seq = t.ended
        LEFT JOIN entries AS done ON done.seq = t.ended
    WHERE t.session = ? ORDER BY t.seq
"""
_KNOWN = frozenset(("n", "code", "execution_count", "at", "monotonic_ns", "narration", "within"))


def _session(row: tuple[Any, ...], journal: Journal) -> Session:
    name, started, state, ended, last, degraded, body, steps, failed = row
    facts = {} if body is None else json.loads(body)
    title, sort = facts.pop("title", "[purged]"), facts.pop("sort", "import")
    if state != "stopped" and not is_written(facts):
        state, ended = "interrupted", last
    return Session(name, title, sort, state, started, ended, steps, failed, degraded, facts, journal)


def _parsed(bodies: Iterable[str | None]) -> list[Any]:
    """Many bodies, None for one that is gone: read as one text, which takes a third of the time."""
    return json.loads(f"[{','.join('null' if body is None else body for body in bodies)}]")


def _step(
    row: tuple[Any, ...],
    body: dict[str, Any] | None,
    end: dict[str, Any] | None,
    journal: Journal,
    alive: bool,
) -> Step:
    name, started, status, outputs, private, whys, _, _, ended = row
    facts: dict[str, Any] = {"n": 0, "code": "[purged]"} if body is None else body
    end = end or {}
    code = facts["code"]
    timed = facts.get("at", started) is not None
    began, stopped = facts.get("monotonic_ns"), end.get("monotonic_ns")
    return Step(
        id=name,
        n=facts["n"],
        code=shortened(code) if isinstance(code, Mapping) else code,
        status=status or ("running" if alive else "interrupted"),
        execution_count=facts.get("execution_count"),
        started=facts.get("at", started) if timed else None,
        ended=end.get("at", ended) if timed else None,
        seconds=None if began is None or stopped is None else (stopped - began) / 1e9,
        outputs_count=outputs,
        private=bool(private),
        narration=bool(facts.get("narration")),
        whys=whys,
        within=facts.get("within"),
        facts={name: value for name, value in facts.items() if name not in _KNOWN},
        journal=journal,
        raw_code=code,
    )


@cache
def _has_proc() -> bool:
    return Path("/proc/self/stat").exists()


def _process_started(pid: int) -> str | None:
    """When a process started, in ticks since this start of the machine, and which start that was; None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The program's name stands in brackets and may hold anything.
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"
