"""Sessions: what is written of them is read again, whole and in order."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unweave.core.errors import InputError
from unweave.journal import Journal
from unweave.journal.outputs import Output, shown
from unweave.journal.session_log import SessionLog
from unweave.journal.sessions import session, sessions, this_process


@pytest.fixture
def journal(tmp_path: Path):
    with Journal.open(tmp_path / "journal.db", create=True) as opened:
        yield opened


def begun(journal: Journal, **facts: Any) -> SessionLog:
    return SessionLog.begin(journal, title="heads", sort="kernel", facts={**this_process(), **facts})


def stream(log: SessionLog, step: str, n: int, text: str, **facts: Any) -> None:
    log.output(step, n=n, sort="stream", data={"text/plain": text}, facts={"name": "stdout", **facts})


def test_steps_come_back_with_everything_that_was_noted(journal: Journal):
    log = begun(journal)
    step = log.step_started(
        n=1,
        code="1 + 1",
        facts={"at": "2026-11-24T10:00:00.000000Z", "monotonic_ns": 5, "execution_count": 3, "device": "cpu"},
    )
    log.output(step.id, n=1, sort="result", data={"text/plain": "2"}, facts={"execution_count": 3})
    log.step_ended(
        step.id, status="ok", facts={"at": "2026-11-24T10:00:02.000000Z", "monotonic_ns": 2_000_000_005}
    )
    log.stopped()
    [read] = sessions(journal)
    assert (read.title, read.sort, read.state, read.step_count, read.failed) == (
        "heads",
        "kernel",
        "stopped",
        1,
        0,
    )
    [found] = read.steps()
    assert (found.n, found.code, found.status, found.execution_count) == (1, "1 + 1", "ok", 3)
    assert (found.seconds, found.started) == (2.0, "2026-11-24T10:00:00.000000Z")
    assert found.facts == {"device": "cpu"}
    [output] = found.outputs()
    assert (output.sort, output.bundle(), output.execution_count) == ("result", {"text/plain": "2"}, 3)
    assert [e.kind for e in read.timeline()] == [
        "session_started", "step_started", "output", "step_ended", "session_stopped",
    ]  # fmt: skip


def test_parts_of_a_stream_are_joined_and_what_was_overwritten_is_left_out(journal: Journal):
    log = begun(journal)
    step = log.step_started(n=1, code="bar()", facts={}).id
    stream(log, step, 1, "start\n 10%", redacted={"A": 1})
    stream(log, step, 2, "\r 90%", redacted={"A": 2, "B": 1})
    log.output(step, n=3, sort="display", data={"text/plain": "figure"})
    stream(log, step, 4, "done")
    stream(log, step, 5, "late", late=True)
    found = session(journal, log.id).step(1).outputs()
    assert [o.text for o in found] == ["start\n 90%", "figure", "done", "late"]
    assert found[0].redacted == {"A": 3, "B": 1}
    # The mistake: joining all text of a stream, past what came between.
    assert "".join(o.text for o in found if o.name) != "".join(o.text for o in found)


def test_what_is_large_lies_in_a_blob_and_shows_head_and_tail(journal: Journal):
    log = begun(journal)
    text = "head\n" + "x" * 70_000 + "\ntail é"
    picture = base64.b64encode(os.urandom(60_000)).decode() + "\n"
    figure = {"data": [list(range(20_000))]}
    step = log.step_started(n=1, code="# " + "y" * 70_000, facts={}).id
    bundle = {"text/plain": text, "image/png": picture, "application/json": figure, "text/html": "small"}
    log.output(step, n=1, sort="display", data=bundle)
    error = {"name": "ValueError", "value": "long", "traceback": ["a" * 70_000, "b"]}
    log.output(step, n=2, sort="error", data={}, facts={"error": error})
    found = session(journal, log.id).step(1)
    display, failed = found.outputs()
    assert display.bundle() == bundle
    assert display.spilled and display.data["text/html"] == "small"
    assert (
        display.text.startswith("head\n") and display.text.endswith("\ntail é") and len(display.text) < 5000
    )
    assert "bytes more" in display.text
    assert failed.error == ("ValueError", "long", ("a" * 70_000, "b"))
    assert len(found.code) < 5000 and found.whole_code() == "# " + "y" * 70_000
    bodies = [json.dumps(e.body) for e in journal.entries(session=log.id)]
    assert max(map(len, bodies)) < 30_000
    assert journal.blobs.get(display.data["image/png"]["blob"]) == base64.b64decode(picture)


def test_what_looks_like_the_name_of_a_blob_is_not_taken_for_one(journal: Journal):
    log = begun(journal)
    step = log.step_started(n=1, code="", facts={}).id
    log.output(step, n=1, sort="display", data={"application/json": {"blob": "0" * 64}})
    [output] = session(journal, log.id).step(1).outputs()
    assert output.bundle() == {"application/json": {"blob": "0" * 64}}


def test_a_session_whose_process_is_gone_was_interrupted(journal: Journal):
    code = "from unweave.journal.sessions import this_process; import json; print(json.dumps(this_process()))"
    gone = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    log = begun(journal, **gone)
    step = log.step_started(n=1, code="forever()", facts={"monotonic_ns": 1}).id
    stream(log, step, 1, "so far")
    read = session(journal, log.id)
    assert (read.state, read.ended) == ("interrupted", [*journal.entries()][-1].time)
    assert [(s.status, s.seconds, s.outputs()[0].text) for s in read.steps()] == [
        ("interrupted", None, "so far")
    ]


def test_a_process_number_that_another_program_has_now_is_not_taken_for_it(journal: Journal):
    log = begun(journal, process_started="another boot:1")
    assert session(journal, log.id).state == "interrupted"
    # The mistake: asking for the number alone.
    os.kill(os.getpid(), 0)


def test_a_session_that_is_being_written_is_told_so(journal: Journal):
    log = begun(journal)
    log.step_started(n=1, code="x", facts={})
    read = session(journal, log.id)
    assert (read.state, read.steps()[0].status) == ("recording", "running")
    log.paused()
    assert session(journal, log.id).state == "paused"
    log.resumed()
    assert session(journal, log.id).state == "recording"


def test_whys_privacy_and_recordings_made_elsewhere(journal: Journal, tmp_path: Path):
    log = begun(journal)
    step = log.step_started(n=1, code="x", facts={}).id
    log.why(step, "to see the norm", assistant=False)
    log.why(step, "written for me", assistant=True)
    log.private(step)
    log.attach(
        tmp_path / "talk.mp4", offset_s=-2.5, sha256="0" * 64, size=5, mime="video/mp4", note="the talk"
    )
    found = session(journal, log.id).step(step)
    assert found.reasons() == (("to see the norm", False), ("written for me", True))
    assert (found.private, found.whys) == (True, 2)
    log.private(step, False)
    assert not session(journal, log.id).step(1).private
    [attached] = session(journal, log.id).attachments()
    assert (attached["offset_s"], attached["note"]) == (-2.5, "the talk")


def test_a_display_is_shown_as_it_was_last_updated_and_cleared_output_is_gone():
    def output(sort: str, text: str = "", **more: Any) -> Output:
        return Output(1, sort, {"text/plain": text}, **more)

    given = [
        output("stream", "old", name="stdout"),
        output("clear", metadata={"wait": True}),
        output("display", "one", display_id="d"),
        output("display", "two"),
        output("update", "one, updated", display_id="d"),
        output("clear", metadata={"wait": True}),
    ]
    assert [o.text for o in shown(given)] == ["one, updated", "two"]
    assert shown([output("display", "a"), output("clear", metadata={"wait": False})]) == ()


def test_an_imported_session_has_no_times(journal: Journal):
    log = SessionLog.begin(journal, title="", sort="import", facts={})
    step = log.step_started(n=1, code="x", facts={"at": None}).id
    log.step_ended(step, status="ok", facts={"at": None})
    log.stopped()
    [found] = session(journal, log.id).steps()
    assert (found.started, found.ended, found.seconds) == (None, None, None)


def test_sessions_are_found_by_id_and_a_wrong_one_says_so(journal: Journal):
    first, second = begun(journal), begun(journal)
    assert session(journal, first.id).id == first.id
    assert session(journal, second.id[-5:]).id == second.id
    assert session(journal, "last").id == second.id
    with pytest.raises(
        InputError, match=r"wanted the id of one session in journal\.db; got 'zzz', which none has"
    ):
        session(journal, "zzz")
    with pytest.raises(InputError, match=r"wanted a step of the session .*; got 7; it has 1 to 0"):
        session(journal, first.id).step(7)


def test_wrong_sorts_and_ends_say_so(journal: Journal):
    log = begun(journal)
    with pytest.raises(InputError, match=r"wanted one of stream, display, .*; got 'noise'"):
        log.output("x", n=1, sort="noise", data={})
    with pytest.raises(InputError, match=r"wanted one of ok, error, interrupted; got 'fine'"):
        log.step_ended("x", status="fine")


def test_the_tables_can_be_made_again_from_the_log(journal: Journal):
    log = begun(journal)
    step = log.step_started(n=1, code="x", facts={}).id
    stream(log, step, 1, "a")
    log.step_ended(step, status="error")
    log.step_started(n=2, code="y", facts={})
    log.why(step, "because")
    log.degraded("a reason")
    log.paused()

    def tables() -> list[Any]:
        with journal.reading() as connection:
            return [
                connection.execute(f"SELECT * FROM {name} ORDER BY id").fetchall()
                for name in ("sessions", "steps")
            ]

    before = tables()
    assert before[0] and len(before[1]) == 2
    journal.rebuild()
    assert tables() == before
    assert session(journal, log.id).degraded == 1
