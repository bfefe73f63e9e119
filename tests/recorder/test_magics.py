"""The magics of one line: what they write, what they say, and what they refuse."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.recorder.kernels import Kernel
from unweave.journal import Entry, Journal
from unweave.journal.sessions import Session, session, sessions
from unweave.recorder.narration import only_narrates


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Generator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("magics")) as started:
        started.run("%load_ext unweave")
        yield started


def entries(kernel: Kernel, kind: str) -> list[Entry]:
    with Journal.open(kernel.journal) as journal:
        return [*journal.entries(kind)]


def bodies(kernel: Kernel, kind: str) -> list[dict[str, Any]]:
    return [entry.body or {} for entry in entries(kernel, kind)]


def last(kernel: Kernel) -> Session:
    return session(Journal.open(kernel.journal), "last")


SAID = {
    '%question "which heads copy?"': "question Q1 · which heads copy?\n",
    "%hypothesis head 5 copies": "hypothesis H1 · head 5 copies\n",
    '%rival "any head"': "rival H2 · any head\n",
    "%rival H1 'the {MLP} of $x'": "rival H3 · the {MLP} of $x\n",
    '%predict 0.7 "head 5 is largest"': "prediction P1 · 70% · head 5 is largest",
    "%predict 15 % head 0 is": "prediction P2 · 15% · head 0 is",
    '%outcome P1 yes "by far"': "outcome · yes, predicted at 70% · head 5 is largest",
    "%outcome no": "outcome · no, predicted at 15% · head 0 is",
    "%confusing why so large": "confusing · why so large\n",
    "%idea ablate": "idea · ablate\n",
    "%next look at keys": "next · look at keys\n",
    "%note 70% of it": "note · 70% of it\n",
}


@pytest.fixture(scope="module")
def answers(kernel: Kernel) -> dict[str, str]:
    """What each of these answers, without a recording; whoever comes after has them in the journal."""
    return {line: kernel.run(line).text for line in SAID}


def test_they_write_without_a_recording_too(kernel: Kernel, answers: dict[str, str]):
    """In the order of one's work: nothing has to be begun first."""
    assert answers == SAID
    question, first, rival, other = *entries(kernel, "question"), *entries(kernel, "hypothesis")
    assert first.about == question.id
    assert [(rival.body or {})["rival_of"], (other.body or {})["rival_of"]] == [first.id, first.id]
    assert [b["result"] for b in bodies(kernel, "outcome")] == ["yes", "no"]
    assert [e.about for e in entries(kernel, "outcome")] == [e.id for e in entries(kernel, "prediction")]
    assert [b["sort"] for b in bodies(kernel, "surface")] == ["confusing", "idea", "next"]
    assert [e.session for e in entries(kernel, "prediction")] == [None, None]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "%predict 130% x",
            "wanted a probability from 0% to 100%; got 130%; write 70% or a number from 0 to 1",
        ),
        ("%predict 70 x", "wanted a probability from 0% to 100%; got 70; write 70% or a number from 0 to 1"),
        ("%predict likely x", "wanted a probability from 0% to 100%; got likely"),
        ("%predict", "wanted a probability and a statement; got neither"),
        ("%predict 70%", "wanted some text after %predict; got none"),
        ("%outcome maybe", "wanted yes, no or unclear; got 'maybe'"),
        ("%outcome yes", "wanted a prediction that has no outcome yet; got 2 that all have theirs"),
        ("%outcome P9 yes", "wanted a prediction by its number; got 'P9'; P1 to P2"),
        ("%outcome P1 no", "wanted one outcome of a prediction; got a second one"),
        ("%rival H7 x", "wanted a hypothesis by its number; got 'H7'; H1 to H3"),
        ("%note", "wanted some text after %note; got none"),
        (
            "%why because",
            "wanted a recording for %why, which is about a cell; got none; write %record start first",
        ),
        ("%record begin", "wanted %record start, pause, resume, stop, status, attach; got 'begin'"),
        ("%record stop", "wanted a recording that goes on; got none; write %record start first"),
    ],
)
@pytest.mark.usefixtures("answers")
def test_a_mistake_is_told_in_one_line_and_writes_nothing(kernel: Kernel, line: str, said: str):
    with Journal.open(kernel.journal) as journal:
        before = journal.head
    reply = kernel.run(line)
    assert reply.status == "error"
    assert said in reply.text and reply.text.startswith("UsageError: %") and reply.text.count("\n") == 1
    with Journal.open(kernel.journal) as journal:
        assert journal.head == before


@pytest.mark.usefixtures("answers")
def test_in_a_recording_they_are_about_its_cells(kernel: Kernel, tmp_path: Path):
    voice = tmp_path / "talk.mp3"
    voice.write_bytes(b"no sound")
    assert "REC" in kernel.run("%record start 'cells'").text
    assert (
        "wanted no recording that goes on already; got 'cells', recording" in kernel.run("%record start").text
    )
    kernel.run("%why 'to have x'\nx = 1")
    kernel.run("y = 2")
    assert kernel.run("%why --assistant").text == "why, of cell 4 (assistant)\n"
    assert kernel.run("%why --cell 3 --assistant it set x").text == "why, of cell 3 (assistant): it set x\n"
    assert "wanted the number of a recorded cell; got '99'" in kernel.run("%why --cell 99 x").text
    kernel.run("%private\nz = 3")
    assert kernel.run("%private off").text == "cell 8 is in exports again\n"
    assert kernel.run("%private").text == "cell 8 stays out of exports; it is in the journal\n"
    # Numbers begin anew in a session.
    assert kernel.run('%predict 30% "y is 3"').text == "prediction P1 · 30% · y is 3"
    assert "begins 90 s after" in kernel.run(f"%record attach {voice} 1:30").text
    assert "which is not there" in kernel.run("%record attach nothing.mp4 0").text
    assert "wanted an offset in seconds" in kernel.run(f"%record attach {voice} soon").text
    stopped = kernel.run("%record stop").text
    assert "1 of 1 predictions have no outcome" in stopped
    # What is said afterwards still belongs to it.
    assert kernel.run("%outcome no").text == "outcome · no, predicted at 30% · y is 3"
    kernel.run("%why --cell 8 'it was long'")
    recorded = last(kernel)
    steps = recorded.steps()
    assert steps[2].reasons() == (("to have x", False), ("it set x", True))
    assert steps[3].reasons() == (("", True),)
    assert steps[7].reasons() == (("it was long", False),)
    assert [step.private for step in steps if step.private] == [True] and steps[7].private
    assert [step.n for step in steps if not step.narration] == [3, 4, 8]
    [attached] = recorded.attachments()
    assert (attached["offset_s"], attached["mime"], attached["size"]) == (90, "audio/mpeg", 8)
    prediction = next(e for e in recorded.timeline() if e.kind == "prediction")
    assert (prediction.body or {})["seen_so_far"] == f"10 cells of session {recorded.id}"
    assert [e.session for e in entries(kernel, "outcome")] == [None, None, recorded.id]
    recorded.journal.close()


def test_which_cells_need_no_why():
    assert only_narrates("%predict 70% 'x'\n\n# a remark\n%note y")
    assert only_narrates("%load_ext unweave\n%record start")
    assert not only_narrates("%why because\nx = 1")
    assert not only_narrates("%timeit x") and not only_narrates("") and not only_narrates("%notebook x")


def test_what_fails_in_the_recorder_leaves_the_cell_alone_and_is_told_once(kernel: Kernel):
    kernel.run("%record start")
    kernel.run(
        "from unweave.recorder import machine\nkept = machine.seeds\n"
        "def broken():\n    raise RuntimeError('our own mistake')\nmachine.seeds = broken"
    )
    first, second = kernel.run("print('it runs'); 5"), kernel.run("print('again')")
    assert (first.status, second.status) == ("ok", "ok")
    assert "it runs" in first.text and "5" in first.text
    assert (
        "Unweave: the recording is incomplete: the seeds of steps could not be told (RuntimeError: our own mistake)"
        in (first.text)
    )
    assert second.text == "again\n"
    kernel.run("machine.seeds = kept")
    assert "INCOMPLETE" in kernel.run("%record status").text
    kernel.run("%record stop")
    recorded = last(kernel)
    assert recorded.degraded == 1
    recorded.journal.close()


def test_a_journal_that_vanishes_leaves_the_cell_alone(kernel: Kernel):
    kernel.run("%record start 'unwritable'")
    broken = kernel.run(
        "from unweave.recorder import active\nrecording = active.current()\nwriter = recording._writer\n"
        "def refuse(jobs):\n    from unweave.journal import JournalFull\n    raise JournalFull('no room left')\n"
        "commit, writer._commit = writer._commit, refuse"
    )
    reply = kernel.run("print('still runs')")
    assert reply.status == "ok" and "still runs" in reply.text
    assert "no room left" in broken.text + reply.text + kernel.run("import time; time.sleep(0.3)").text
    said = kernel.run("%note said meanwhile")
    assert said.status == "error" and "UsageError: %note: no room left" in said.text
    kernel.run("writer._commit = commit")
    kernel.run("recording.read(lambda journal: None)")
    kernel.run("%record stop")
    recorded = last(kernel)
    # Nothing was lost: what could not be written was kept and written later.
    codes = {step.code: step for step in recorded.steps()}
    assert codes["print('still runs')"].outputs()[0].text == "still runs\n"
    assert [(e.body or {})["text"] for e in recorded.timeline() if e.kind == "note"] == ["said meanwhile"]
    assert (recorded.degraded, recorded.state) == (1, "stopped")
    recorded.journal.close()


def test_a_block_records_itself_where_nothing_is_recorded_yet(kernel: Kernel):
    kernel.run(
        "import unweave\nfrom IPython.display import display\n"
        "with unweave.record('a block') as block:\n    display(5)\n    print(6)"
    )
    recorded = last(kernel)
    [step] = recorded.steps()
    assert (recorded.title, recorded.sort, recorded.state) == ("a block", "script", "stopped")
    assert [(o.sort, o.text) for o in step.outputs()] == [("display", "5"), ("stream", "6\n")]
    assert step.code.startswith("with unweave.record('a block')")
    recorded.journal.close()


def test_a_restart_ends_the_session(kernel: Kernel):
    kernel.run("%record start 'restarted'")
    kernel.run("print('before')")
    kernel.restart()
    recorded = last(kernel)
    assert (recorded.title, recorded.state) == ("restarted", "stopped")
    assert recorded.steps()[-1].outputs()[0].text == "before\n"
    kernel.run("%load_ext unweave")
    assert "REC" in kernel.run("%record start").text
    assert "STOPPED" in kernel.run("%record stop").text
    recorded.journal.close()


def test_a_kernel_that_is_killed_leaves_its_step_interrupted_with_its_output(kernel: Kernel):
    kernel.run("%record start 'killed'")
    kernel.begin("print('so far', flush=True)\nimport time\ntime.sleep(60)")
    for _ in range(200):
        recorded = last(kernel)
        told = recorded.steps()[-1].code.startswith("print") and recorded.steps()[-1].outputs()
        recorded.journal.close()
        if told:
            break
        time.sleep(0.1)
    kernel.kill()
    recorded = last(kernel)
    step = recorded.steps()[-1]
    assert (recorded.state, step.status, step.seconds) == ("interrupted", "interrupted", None)
    assert step.outputs()[0].text == "so far\n"
    *before, final = [s.state for s in sessions(recorded.journal)]
    assert final == "interrupted" and set(before) <= {"stopped"}
    recorded.journal.close()
