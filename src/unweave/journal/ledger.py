"""Where the time went: minutes by question, runs that failed, and what was abandoned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unweave.journal.entries import Entry
from unweave.journal.research import ResearchLog, part, title
from unweave.journal.sessions import Step, sessions
from unweave.journal.store import Journal

IDLE_AFTER_MIN = 30.0  # a longer silence, with nothing running, is taken for a break


@dataclass(frozen=True)
class Row:
    """One question, and what was spent on it.

    Args:
        id: the question's; None for what belongs to none.
        text: of it.
        minutes: from its entry to the next question of the session, pauses and breaks taken out.
        running: minutes of these in which a cell or an experiment ran.
        steps: how many cells were run.
        failed: how many of them ended with an error or were interrupted.
        predictions, evidence: how many there are.
        verdicts: on its hypotheses, as {"supported": 1}.
    """

    id: str | None
    text: str
    minutes: float
    running: float
    steps: int
    failed: int
    predictions: int
    evidence: int
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Failure:
    """A run that failed: a cell, or an experiment."""

    id: str
    session: str | None
    what: str
    how: str
    minutes: float | None


@dataclass(frozen=True)
class Loose:
    """Something that was begun and not ended.

    Args:
        id: of its entry.
        sort: "abandoned" by its author's word; or "hypothesis without verdict", "prediction without outcome",
            "experiment without evidence", "confusing", "idea" or "next", open.
        text: what it says.
        since: the time of the last entry on it.
    """

    id: str
    sort: str
    text: str
    since: str


@dataclass(frozen=True)
class Ledger:
    """The account of a journal.

    Args:
        rows: by question, the costliest first.
        failures: in order.
        loose: what was abandoned or left open, the oldest first.
        breaks: minutes of silence that are not counted.
        warnings: what to know before using the numbers.
    """

    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    loose: tuple[Loose, ...]
    breaks: float
    warnings: tuple[str, ...]

    @property
    def minutes(self) -> float:
        """All of them."""
        return sum(row.minutes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "minutes": self.minutes,
            "breaks_minutes": self.breaks,
            "questions": [vars(row) for row in self.rows],
            "failed": [vars(one) for one in self.failures],
            "loose": [vars(one) for one in self.loose],
            "warnings": [*self.warnings],
        }


class _Account:
    """What is counted on the way, by the question's id; None is no question."""

    def __init__(self) -> None:
        self.minutes: dict[str | None, float] = {}
        self.running: dict[str | None, float] = {}
        self.steps: dict[str | None, list[Step]] = {}
        self.breaks = 0.0

    def spend(self, question: str | None, seconds: float, running: bool, idle_after: float) -> None:
        if not running and seconds > 60 * idle_after:
            self.breaks += seconds / 60
            return
        self.minutes[question] = self.minutes.get(question, 0.0) + seconds / 60
        if running:
            self.running[question] = self.running.get(question, 0.0) + seconds / 60


def ledger(journal: Journal, *, idle_after: float = IDLE_AFTER_MIN) -> Ledger:
    """The account of all sessions and experiments of a journal.

    A session's minutes count to the question that was last asked in it; those of an experiment that ran
    outside any session, from its entry to its last evidence, to the question that it is about.

    Args:
        journal: an open one.
        idle_after: minutes of silence, with nothing running, after which it was a break; the whole of it is not counted then.
    """
    log, account = ResearchLog.read(journal), _Account()
    failures: list[Failure] = []
    untimed = 0
    for session in sessions(journal):
        steps = session.steps()
        timed = [step for step in steps if step.started is not None]
        untimed += len(steps) - len(timed)
        _walk(journal, session.id, steps, account, idle_after)
        failures += [
            _failed_step(step, session.id) for step in steps if step.status in ("error", "interrupted")
        ]
    for run in log.of("experiment"):
        found = log.evidence(run.id)
        minutes = _between(run.time, found[-1].time) / 60 if found else None
        if run.session is None and minutes is not None:
            question = log.question(run)
            account.spend(question.id if question else None, 60 * minutes, True, idle_after)
        failures += [
            Failure(one.id, one.session, title(run), str(part(one, "failed")), minutes)
            for one in found
            if part(one, "failed")
        ]
    warnings = [f"{untimed} imported cell(s) have no times, and count no minutes."] if untimed else []
    if account.breaks:
        warnings.append(
            f"{account.breaks:.0f} minutes in silences of over {idle_after:g} minutes are taken for breaks, and not counted."
        )
    return Ledger(_rows(log, account), tuple(failures), _loose(log), account.breaks, tuple(warnings))


def _walk(
    journal: Journal, session: str, steps: tuple[Step, ...], account: _Account, idle_after: float
) -> None:
    """Count the time between each entry of a session and the next, to the question that was open."""
    begun = {step.id: step for step in steps}
    question: str | None = None
    open_steps, paused, last = set[str](), False, None
    with journal.reading() as connection:
        rows = connection.execute(
            "SELECT id, kind, about, time FROM entries WHERE session = ? AND kind != 'output' ORDER BY seq",
            (session,),
        ).fetchall()
    for id, kind, about, time in rows:  # noqa: A001
        if last is not None and not paused and kind != "session_resumed":
            # A step that never ended stopped running nobody knows when.
            running = any(begun[one].ended is not None for one in open_steps)
            account.spend(question, max(0.0, _between(last, time)), running, idle_after)
        last = time
        if kind == "question":
            question = id
        elif kind == "step_started" and id in begun:
            account.steps.setdefault(question, []).append(begun[id])
            open_steps.add(id)
        elif kind == "step_ended":
            open_steps.discard(about)
        elif kind in ("session_paused", "session_stopped"):
            paused = True
        elif kind == "session_resumed":
            paused = False


def _failed_step(step: Step, session: str) -> Failure:
    lines = [line.strip() for line in step.code.splitlines() if line.strip()]
    errors = [output.error for output in step.outputs() if output.error]
    how = errors[-1][0] if errors else step.status
    what = f"[{step.n}] {lines[0] if lines else ''}".strip()
    return Failure(step.id, session, what, how, None if step.seconds is None else step.seconds / 60)


def _rows(log: ResearchLog, account: _Account) -> tuple[Row, ...]:
    owner: dict[str, str | None] = {}
    for kind in ("hypothesis", "prediction", "evidence"):
        for entry in log.of(kind):
            asked = log.question(entry)
            owner[entry.id] = asked.id if asked else None
    rows = [_row(log, account, owner, question) for question in log.of("question")]
    rest = _row(log, account, owner, None)
    if rest.minutes or rest.steps or rest.predictions or rest.evidence:
        rows.append(rest)
    return tuple(sorted(rows, key=lambda row: -row.minutes))


def _row(log: ResearchLog, account: _Account, owner: Mapping[str, str | None], question: Entry | None) -> Row:
    id = question.id if question else None  # noqa: A001

    def belongs(entry: Entry) -> bool:
        return owner[entry.id] == id

    steps = account.steps.get(id, [])
    verdicts: dict[str, int] = {}
    for hypothesis in filter(belongs, log.of("hypothesis")):
        verdict = log.verdict(hypothesis)
        if verdict is not None:
            said = str(part(verdict, "verdict"))
            verdicts[said] = verdicts.get(said, 0) + 1
    return Row(
        id=id,
        text=title(question) if question else "(no question)",
        minutes=account.minutes.get(id, 0.0),
        running=account.running.get(id, 0.0),
        steps=len(steps),
        failed=sum(step.status in ("error", "interrupted") for step in steps),
        predictions=sum(map(belongs, log.of("prediction"))),
        evidence=sum(map(belongs, log.of("evidence"))),
        verdicts=verdicts,
    )


def _loose(log: ResearchLog) -> tuple[Loose, ...]:
    found: list[Loose] = []
    for entry in log.entries.values():
        sort = _why_loose(log, entry)
        if sort:
            touched = max(
                (one.time for one in log.entries.values() if one.about == entry.id), default=entry.time
            )
            found.append(Loose(entry.id, sort, title(entry), touched))
    return tuple(sorted(found, key=lambda one: one.since))


def _why_loose(log: ResearchLog, entry: Entry) -> str:
    match entry.kind:
        case "hypothesis":
            verdict = log.verdict(entry)
            if verdict is not None:
                return "abandoned" if part(verdict, "verdict") == "abandoned" else ""
            # A rival falls or stands with the hypothesis that it competes with.
            rival_of = log.entries.get(str(part(entry, "rival_of")))
            settled = rival_of is not None and log.verdict(rival_of) is not None
            return "" if settled else "hypothesis without verdict"
        case "prediction":
            return "" if log.outcome(entry) else "prediction without outcome"
        case "experiment":
            return "" if log.evidence(entry.id) else "experiment without evidence"
        case "surface":
            return "" if log.about(entry.id, "resolved") else f"{part(entry, 'sort')}, open"
        case _:
            return ""


def _between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
