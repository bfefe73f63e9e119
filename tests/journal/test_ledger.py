"""Minutes by question, on a clock that is set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from unweave.journal import (
    Evidence,
    Experiment,
    Hypothesis,
    Journal,
    Judgement,
    Outcome,
    Prediction,
    Question,
    Resolved,
    SurfaceItem,
    ledger,
)
from unweave.journal.session_log import SessionLog

BEGUN = datetime(2026, 1, 1, 9, tzinfo=UTC)


class Clock:
    """The time at which the next entries are written, in minutes from the start."""

    def __init__(self) -> None:
        self.minutes = 0.0

    def __call__(self) -> str:
        return (BEGUN + timedelta(minutes=self.minutes)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("unweave.journal.store.now", made)
    return made


def cell(log: SessionLog, clock: Clock, n: int, begin: float, end: float | None, status: str = "ok") -> str:
    clock.minutes = begin
    at = {"at": clock(), "monotonic_ns": int(begin * 60e9)}
    step = log.step_started(n=n, code=f"cell_{n}()", facts=at)
    if end is not None:
        clock.minutes = end
        log.journal.append(
            "step_ended",
            {"status": status, "at": clock(), "monotonic_ns": int(end * 60e9)},
            session=log.id,
            about=step.id,
        )
    return step.id


def test_a_sessions_minutes_go_to_the_question_that_was_asked_last(journal: Journal, clock: Clock):
    log = SessionLog.begin(journal, title="t", sort="script", facts={})
    clock.minutes = 2
    first = journal.add(Question("first?"), session=log.id)
    cell(log, clock, 1, 5, 15)  # 10 running
    clock.minutes = 16
    second = journal.add(Question("second?"), session=log.id)
    cell(log, clock, 2, 20, 21, "error")
    clock.minutes = 22
    journal.append("session_paused", {}, session=log.id)
    clock.minutes = 50
    journal.append("session_resumed", {}, session=log.id)
    clock.minutes = 51
    journal.append("session_stopped", {}, session=log.id)
    found = ledger(journal)
    rows = {row.id: row for row in found.rows}
    assert rows[None].minutes == pytest.approx(2)
    assert (rows[first.id].minutes, rows[first.id].running) == pytest.approx((14, 10))
    # 16 to 22, the pause out, 50 to 51
    assert (rows[second.id].minutes, rows[second.id].running) == pytest.approx((7, 1))
    assert (rows[second.id].steps, rows[second.id].failed) == (1, 1)
    assert found.minutes == pytest.approx(23)
    assert [row.id for row in found.rows] == [first.id, second.id, None]  # the costliest first
    assert [(one.what, one.how) for one in found.failures] == [("[2] cell_2()", "error")]


def test_a_long_silence_is_a_break_and_a_long_run_is_not(journal: Journal, clock: Clock):
    log = SessionLog.begin(journal, title="t", sort="script", facts={})
    cell(log, clock, 1, 10, 190)  # three hours of training
    clock.minutes = 190 + 31  # and lunch
    journal.append("session_stopped", {}, session=log.id)
    found = ledger(journal)
    assert found.minutes == pytest.approx(190)
    assert found.breaks == pytest.approx(31)
    assert "31 minutes in silences of over 30 minutes" in found.warnings[0]
    assert ledger(journal, idle_after=60.0).minutes == pytest.approx(221)


def test_a_step_that_never_ended_runs_for_nobody_knows_how_long(journal: Journal, clock: Clock):
    log = SessionLog.begin(journal, title="t", sort="script", facts={})
    cell(log, clock, 1, 1, None)
    clock.minutes = 100
    journal.append("session_stopped", {}, session=log.id)
    found = ledger(journal)
    assert (found.minutes, found.breaks) == pytest.approx((1, 99))
    assert found.failures[0].how == "interrupted"


def test_an_experiment_outside_a_session_counts_to_its_question(journal: Journal, clock: Clock):
    question = journal.add(Question("?"))
    hypothesis = journal.add(Hypothesis("h"), about=question.id)
    run = journal.add(Experiment("train"), about=hypothesis.id)
    clock.minutes = 42
    journal.add(Evidence("x"), about=run.id)
    broken = journal.add(Experiment("train more"), about=hypothesis.id)
    clock.minutes = 50
    journal.add(Evidence("it broke", failed="out of memory"), about=broken.id)
    found = ledger(journal)
    assert found.rows[0].minutes == found.rows[0].running == pytest.approx(50)
    assert [(one.what, one.how, one.minutes) for one in found.failures] == [
        ("train more", "out of memory", 8.0)
    ]


def test_what_was_left_open_is_listed_the_oldest_first(journal: Journal, clock: Clock):
    def at(minutes: float) -> None:
        clock.minutes = minutes

    given_up = journal.add(Hypothesis("given up"))
    at(1)
    open_ = journal.add(Hypothesis("open"))
    journal.add(Hypothesis("its rival", rival_of=open_.id))
    at(2)
    settled = journal.add(Hypothesis("settled"))
    journal.add(Hypothesis("a rival that fell with it", rival_of=settled.id))
    journal.add(Judgement("supported", "x"), about=settled.id)
    at(3)
    done = journal.add(Prediction("came out"))
    journal.add(Outcome("yes"), about=done.id)
    journal.add(Prediction("no outcome"))
    at(4)
    solved = journal.add(SurfaceItem("confusing", "solved"))
    journal.add(Resolved("x"), about=solved.id)
    journal.add(SurfaceItem("confusing", "still confusing"))
    journal.add(Experiment("never ran"))
    at(5)
    journal.add(Judgement("abandoned", "no time"), about=given_up.id)
    assert [(one.text, one.sort) for one in ledger(journal).loose] == [
        ("open", "hypothesis without verdict"),
        ("its rival", "hypothesis without verdict"),
        ("no outcome", "prediction without outcome"),
        ("still confusing", "confusing, open"),
        ("never ran", "experiment without evidence"),
        ("given up", "abandoned"),
    ]
