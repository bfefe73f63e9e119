"""Scripts: one block is one step, whatever becomes of it."""

# ruff: noqa: T201

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import unweave
from tests.repository import ROOT
from unweave.core import events
from unweave.core.errors import InputError
from unweave.journal import Journal
from unweave.journal.sessions import Session, session


def read(path: Path) -> Session:
    return session(Journal.open(path), "last")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_a_block_is_a_step_with_its_code_and_what_it_printed(path: Path):
    with unweave.record("a script", journal=path) as block:
        block.why("to try it")
        print("hello")
        print("and to stderr", file=sys.stderr)
        block.show("a text")
    print("after")
    recorded = read(path)
    assert (recorded.title, recorded.sort, recorded.state) == ("a script", "script", "stopped")
    [step] = recorded.steps()
    assert step.code.startswith('with unweave.record("a script"') and step.code.endswith(
        'block.show("a text")'
    )
    assert [(o.name or o.sort, o.text) for o in step.outputs()] == [
        ("stdout", "hello\n"),
        ("stderr", "and to stderr\n"),
        ("display", "a text"),
    ]
    assert step.reasons() == (("to try it", False),)
    assert block.session == recorded.id
    recorded.journal.close()


def test_an_error_is_kept_and_goes_on(path: Path):
    with pytest.raises(ZeroDivisionError), unweave.record(journal=path):
        _ = 1 / 0
    [step] = read(path).steps()
    assert step.status == "error"
    error = step.outputs()[-1].error
    assert error is not None and error[0] == "ZeroDivisionError" and "1 / 0" in "\n".join(error[2])
    step.journal.close()


def test_predictions_and_outcomes(path: Path):
    with unweave.record(journal=path) as block:
        label = block.predict("it prints", 0.9, number=1.0, threshold=0.5, direction="above")
        block.outcome("yes", of=label)
        with pytest.raises(
            InputError, match=r"wanted a prediction that has no outcome yet; got 1 that all have"
        ):
            block.outcome("no")
        with pytest.raises(InputError, match=r"wanted a probability from 0% to 100%; got 1\.3"):
            block.predict("too sure", 1.3)
        block.note("done")
        block.confusing("why?")
    recorded = read(path)
    said = {e.kind: e.body for e in recorded.timeline()}
    assert said["prediction"] is not None and said["prediction"]["threshold"] == 0.5
    assert said["outcome"] == {"result": "yes"}
    assert said["surface"] == {"sort": "confusing", "text": "why?"}
    assert recorded.degraded == 0
    recorded.journal.close()


def test_a_block_inside_a_recorded_one_is_a_step_of_that(path: Path):
    with unweave.record("outer", journal=path):
        with unweave.record("inner"):
            print("inside")
        print("outside")
    outer, inner = read(path).steps()
    assert inner.facts["title"] == "inner"
    assert (inner.within, outer.within) == (outer.id, None)
    assert [o.text for o in inner.outputs()] == ["inside\n"]
    assert [o.text for o in outer.outputs()] == ["outside\n"]
    outer.journal.close()


def test_what_a_thread_prints_after_the_block_inside_is_late(path: Path):
    done = threading.Event()

    def later() -> None:
        done.wait(20)
        print("late")

    with unweave.record(journal=path):
        with unweave.record("begins it"):
            thread = threading.Thread(target=later)
            thread.start()
        done.set()
        thread.join()
        print("mine")
    outer, inner = read(path).steps()
    assert [(o.text, o.late) for o in inner.outputs()] == [("late\n", True)]
    assert [(o.text, o.late) for o in outer.outputs()] == [("mine\n", False)]
    outer.journal.close()


def test_a_fork_writes_nothing_into_its_parents_journal(path: Path):
    with unweave.record(journal=path):
        print("parent", flush=True)
        child = os.fork()
        if child == 0:
            try:
                print("child")
                with Journal.open(path) as journal:
                    journal.append("note", {"text": "of the child, by a connection of its own"})
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        print("parent again")
    recorded = read(path)
    [step] = recorded.steps()
    assert [o.text for o in step.outputs()] == ["parent\nparent again\n"]
    assert len([*recorded.journal.entries("note")]) == 1
    with recorded.journal.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    recorded.journal.close()


def test_streams_and_threads_are_as_they_were(path: Path):
    before = sys.stdout.write, sys.stderr.write, threading.Thread.start, vars(sys.stdout).get("write")
    with unweave.record(journal=path):
        assert sys.stdout.write != before[0]
    assert (
        sys.stdout.write,
        sys.stderr.write,
        threading.Thread.start,
        vars(sys.stdout).get("write"),
    ) == before
    assert events._listeners == ()


def test_what_is_told_by_events_is_evidence_of_the_step(path: Path):
    with unweave.record(journal=path):
        events.emit(
            "sweep", lambda: {"text": "a sweep over heads", "value": 0.5, "low": 0.1, "high": float("nan")}
        )
        events.emit("sweep", lambda: {"text": "a sweep over layers", "metric": "KL", "value": 0.25})
    events.emit("sweep", lambda: {"text": "after"})
    recorded = read(path)
    [step] = recorded.steps()
    odd, found = [e.body for e in recorded.timeline() if e.kind == "evidence"]
    assert found == {
        "text": "a sweep over layers",
        "metric": "KL",
        "value": 0.25,
        "source": "sweep",
        "step": step.id,
    }
    assert odd == {
        "text": "a sweep over heads",
        "source": "sweep",
        "facts": {"text": "a sweep over heads", "value": 0.5, "low": 0.1},
        "step": step.id,
    }
    assert recorded.degraded == 0
    recorded.journal.close()


def test_a_journal_that_cannot_be_says_so_before_anything_runs(tmp_path: Path):
    ran = False
    refused = pytest.raises(InputError, match=r"wanted a folder for the journal")
    with refused, unweave.record(journal=tmp_path / "nowhere" / "journal.db"):
        ran = True
    assert not ran


def test_a_script_that_is_killed_keeps_what_it_printed(tmp_path: Path, path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time, unweave\nwith unweave.record('killed'):\n    print('so far', flush=True)\n"
        "    time.sleep(1)\n    os.kill(os.getpid(), 9)\n"
    )
    environ = {**os.environ, "UNWEAVE_JOURNAL": str(path), "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, check=False)
    assert ran.returncode == -9
    recorded = read(path)
    [step] = recorded.steps()
    assert (recorded.state, step.status, step.outputs()[0].text) == ("interrupted", "interrupted", "so far\n")
    recorded.journal.close()


def test_recording_loads_no_torch(path: Path):
    code = (
        f"import sys, unweave\nwith unweave.record(journal={str(path)!r}):\n    print(1)\n"
        "assert not {'torch', 'numpy', 'IPython'} & set(sys.modules)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, stdout=subprocess.DEVNULL)


def test_a_thousand_prints_are_few_entries(path: Path):
    with unweave.record(journal=path):
        for number in range(1000):
            print(number)
        time.sleep(0)
    [step] = read(path).steps()
    assert step.outputs_count < 50
    assert step.outputs()[0].text == "".join(f"{number}\n" for number in range(1000))
    step.journal.close()
