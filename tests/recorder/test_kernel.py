"""A real notebook session, recorded: whatever was shown is in the journal, in order, under its cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.recorder.kernels import Kernel, Reply
from unweave.journal import Journal
from unweave.journal.sessions import Session, Step, session

VARIABLE = "UNWEAVE_IPYKERNEL6_PYTHON"
OLD = ("ipykernel==6.29.5", "ipython==8.18.1", "jupyter_client==8.6.3")

# Put together here so that no scanner takes this file for a leak.
TOKEN = "ghp_" + "a1B2" * 9
PASSWORD = "planted-pass-word"

CELLS = {
    "plain": "print('to stdout')\nimport sys; print('to stderr', file=sys.stderr)\n1 + 1",
    "display": (
        "from IPython.display import display, HTML\nhandle = display(HTML('<b>first</b>'), display_id='d1')\n"
        "print('between')\nhandle.update(HTML('<i>second</i>'))"
    ),
    "picture": (
        "class Figure:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        "        data = {'text/plain': 'a figure', 'image/png': 'iVBORw0KGgo=', 'text/html': '<p>fig</p>'}\n"
        "        return data, {'image/png': {'width': 4}}\n"
        "Figure()"
    ),
    "error": "def inner():\n    raise ValueError('on purpose')\nprint('before')\ninner()",
    "syntax": "def (:",
    "async": (
        "import asyncio\nasync def tell():\n    await asyncio.sleep(0.01)\n    print('from a task')\n"
        "await asyncio.gather(tell(), tell())"
    ),
    "nested": (
        "print('outer before')\nget_ipython().run_cell('print(\"inner\")')\n"
        "get_ipython().run_cell('')\nprint('outer after')"
    ),
    "child": "import subprocess\nprint('mine')\nsubprocess.run(['echo', 'from a child'])\n!echo from a shell",
    "fork": (
        "import multiprocessing\ndef work():\n    print('from a fork')\n"
        "process = multiprocessing.get_context('fork').Process(target=work)\nprocess.start(); process.join()"
    ),
    "bar": "import sys\nfor i in range(200):\n    sys.stderr.write(f'\\r{i}%')\nprint(file=sys.stderr)",
    "clear": "from IPython.display import clear_output\nprint('gone')\nclear_output(wait=True)\nprint('stays')",
    "captured": "%%capture found\nprint('nobody sees this')",
    "large": "print('x' * 100_000)",
    "thread": (
        "import threading, time\ndef later():\n    time.sleep(0.7)\n    print('from a thread')\n"
        "threading.Thread(target=later).start()"
    ),
    "after thread": "time.sleep(1.2)\nprint('meanwhile')",
    "pool": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\n"
        "pool.submit(print, 'pool one').result()"
    ),
    "pool again": "pool.submit(print, 'pool two').result()",
    "secret": (
        f"import os\nprint(os.environ['PLANTED_PASSWORD'], {TOKEN!r})\n"
        "for part in (os.environ['PLANTED_PASSWORD'][:7], os.environ['PLANTED_PASSWORD'][7:]):\n"
        "    print(part, end='', flush=True); time.sleep(0.4)\n"
        "raise RuntimeError(os.environ['PLANTED_PASSWORD'])"
    ),
    "predict": '%predict 70% "the loss falls"',
    "why": "%why 'to see it'\nx = 5",
    "empty result": "None",
    "last": "print('the end')",
}


def old_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with ipykernel 6 and an IPython of its time: the one that the variable names, or one made here."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    folder = tmp_path_factory.mktemp("ipykernel6") / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin/python")
    made = subprocess.run(
        [python, "-m", "pip", "install", "-q", *OLD], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(
            f"ipykernel 6 was NOT tried: {VARIABLE} names no environment, and none could be made ({made.stderr[-200:]})"
        )
    return python


@pytest.fixture(
    scope="module", params=[7, pytest.param(6, marks=pytest.mark.slow)], ids=lambda n: f"ipykernel{n}"
)
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def folder(version: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(f"kernel{version}")


@pytest.fixture(scope="module")
def kernel(version: int, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Kernel]:
    python = sys.executable if version == 7 else old_python(tmp_path_factory)
    with Kernel(folder, python, {"PLANTED_PASSWORD": PASSWORD}) as started:
        yield started


@pytest.fixture(scope="module")
def replies(kernel: Kernel) -> dict[str, Reply]:
    """What the cells gave back; the journal is complete when this is."""
    given = {"load": kernel.run("%load_ext unweave"), "start": kernel.run(f'%record start "heads {TOKEN}"')}
    given |= {name: kernel.run(code) for name, code in CELLS.items()}
    waiting = kernel.begin("print('waits')\nimport time; time.sleep(60)")
    time.sleep(1.0)
    kernel.interrupt()
    given["interrupted"] = Reply(kernel.finish(waiting))
    given["pause"] = kernel.run("%record pause")
    given["paused"] = kernel.run("print('not recorded')")
    given["resume"] = kernel.run("%record resume")
    given["again"] = kernel.run("print('recorded again')")
    given["status"] = kernel.run("%record status")
    given["stop"] = kernel.run("%record stop")
    given["stopped"] = kernel.run(
        "print('over')\nimport sys, threading\nprint(sys.stdout.write, threading.Thread.start)"
    )
    return given


@pytest.fixture(scope="module")
def recorded(kernel: Kernel, replies: dict[str, Reply]) -> Generator[Session]:
    with Journal.open(kernel.journal) as journal:
        yield session(journal, "last")


@pytest.fixture(scope="module")
def steps(recorded: Session) -> dict[str, Step]:
    """The steps by the names of their cells."""
    names = {code: name for name, code in CELLS.items()}
    return {names.get(step.code, step.code): step for step in recorded.steps()}


def texts(step: Step) -> list[tuple[str, str]]:
    return [(output.name or output.sort, output.text) for output in step.outputs()]


def test_the_version_is_the_one_that_is_meant(kernel: Kernel, version: int):
    assert kernel.run("import ipykernel; print(ipykernel.version_info[0])").text == f"{version}\n"


def test_loading_says_where_and_records_nothing(replies: dict[str, Reply], recorded: Session):
    assert "%record start" in replies["load"].text and "journal.db" in replies["load"].text
    assert "nothing is recorded yet" in replies["load"].text
    assert recorded.steps()[0].code.startswith("%record start")


def test_the_light_shows_and_changes(replies: dict[str, Reply]):
    [shown] = replies["start"].messages
    assert "REC" in shown["content"]["data"]["text/html"]
    kinds = [m["msg_type"] for m in replies["pause"].messages]
    assert kinds == ["update_display_data", "display_data"]
    for message in replies["pause"].messages:
        assert "PAUSED" in message["content"]["data"]["text/html"]
        assert message["content"]["transient"] == shown["content"]["transient"]
    assert "STOPPED" in replies["stop"].messages[0]["content"]["data"]["text/html"]


def test_a_plain_cell(steps: dict[str, Step]):
    step = steps["plain"]
    assert step.status == "ok"
    assert step.execution_count is not None
    assert step.seconds is not None and 0 < step.seconds < 60
    assert sorted(texts(step)) == [("result", "2"), ("stderr", "to stderr\n"), ("stdout", "to stdout\n")]
    assert [o.sort for o in step.outputs()][-1] == "result"
    assert step.outputs()[-1].execution_count == step.execution_count
    assert {"seeds", "device", "version", "changed", "parent_msg_id"} <= {*step.facts}


def test_each_cell_shows_what_its_client_was_shown(steps: dict[str, Step], replies: dict[str, Reply]):
    """Compared with the messages that the kernel sent, which the recorder did not make."""
    for name in (
        "plain",
        "display",
        "async",
        "child",
        "fork",
        "last",
        "captured",
        "large",
    ):
        sent = "".join(m["content"]["text"] for m in replies[name].messages if m["msg_type"] == "stream")
        kept = "".join(str(o.bundle()["text/plain"]) for o in steps[name].outputs() if o.sort == "stream")
        assert sorted(kept.splitlines()) == sorted(sent.splitlines()), name


def test_displays_and_their_updates_come_in_order(steps: dict[str, Step]):
    outputs = steps["display"].outputs()
    assert [o.sort for o in outputs] == ["display", "stream", "update"]
    assert [o.data.get("text/html") for o in outputs] == ["<b>first</b>", None, "<i>second</i>"]
    assert outputs[0].display_id == outputs[2].display_id == "d1"
    assert [o.data.get("text/html") for o in steps["display"].shown()] == ["<i>second</i>", None]


def test_a_bundle_is_whole(steps: dict[str, Step]):
    [output] = steps["picture"].outputs()
    assert output.bundle() == {
        "text/plain": "a figure",
        "image/png": "iVBORw0KGgo=",
        "text/html": "<p>fig</p>",
    }
    assert output.metadata == {"image/png": {"width": 4}}


def test_an_error_is_kept_with_its_traceback(steps: dict[str, Step]):
    step = steps["error"]
    assert step.status == "error"
    printed, error = step.outputs()
    assert printed.text == "before\n"
    assert error.error is not None
    assert error.error[:2] == ("ValueError", "on purpose")
    assert "inner" in error.text
    [failed] = steps["syntax"].outputs()
    assert steps["syntax"].status == "error" and failed.error is not None and failed.error[0] == "SyntaxError"


def test_async_cells_and_their_tasks(steps: dict[str, Step]):
    assert texts(steps["async"])[0] == ("stdout", "from a task\nfrom a task\n")
    assert steps["async"].status == "ok"


def test_a_cell_that_runs_another_has_it_within(steps: dict[str, Step], recorded: Session):
    outer = steps["nested"]
    [inner] = [step for step in recorded.steps() if step.within == outer.id]
    assert inner.code == 'print("inner")'
    assert inner.execution_count is None
    assert texts(inner) == [("stdout", "inner\n")]
    assert texts(outer) == [("stdout", "outer before\nouter after\n")]


def test_children_and_forks_are_heard_and_write_nothing_themselves(steps: dict[str, Step]):
    assert sorted("".join(text for _, text in texts(steps["child"])).splitlines()) == [
        "from a child",
        "from a shell",
        "mine",
    ]
    assert texts(steps["fork"]) == [("stdout", "from a fork\n")]
    assert not any(o.late for o in steps["child"].outputs() + steps["fork"].outputs())


def test_a_progress_bar_is_few_entries_and_shows_its_end(steps: dict[str, Step]):
    assert texts(steps["bar"]) == [("stderr", "199%\n")]
    assert steps["bar"].outputs_count < 10


def test_cleared_output_is_kept_and_known_to_be_gone(steps: dict[str, Step]):
    assert texts(steps["clear"]) == [("stdout", "gone\n"), ("clear", ""), ("stdout", "stays\n")]
    assert [o.text for o in steps["clear"].shown()] == ["stays\n"]


def test_what_was_captured_was_not_shown(steps: dict[str, Step]):
    assert steps["captured"].outputs() == ()


def test_a_large_output_lies_in_a_blob(steps: dict[str, Step]):
    [output] = steps["large"].outputs()
    assert output.spilled
    assert output.bundle()["text/plain"] == "x" * 100_000 + "\n"


def test_what_a_thread_prints_later_is_late_and_belongs_to_the_cell_that_began_it(steps: dict[str, Step]):
    [late] = steps["thread"].outputs()
    assert (late.text, late.late) == ("from a thread\n", True)
    # The mistake: giving it to the cell that runs meanwhile, under which the notebook shows it.
    assert texts(steps["after thread"]) == [("stdout", "meanwhile\n")]


def test_the_threads_of_a_pool_work_for_the_cell_that_asks(steps: dict[str, Step]):
    assert texts(steps["pool again"]) == [("stdout", "pool two\n")]
    assert not steps["pool again"].outputs()[0].late


def test_an_interrupted_cell(steps: dict[str, Step], replies: dict[str, Reply]):
    step = next(step for name, step in steps.items() if name.startswith("print('waits')"))
    assert (step.status, step.outputs()[0].text) == ("interrupted", "waits\n")
    assert step.outputs()[-1].error is not None and step.outputs()[-1].error[0] == "KeyboardInterrupt"
    assert replies["interrupted"].status == "error"


def test_nothing_is_recorded_while_paused_and_after_the_end(recorded: Session, steps: dict[str, Step]):
    codes = [step.code for step in recorded.steps()]
    assert not any("not recorded" in code or "over" in code for code in codes)
    assert texts(steps["print('recorded again')"]) == [("stdout", "recorded again\n")]
    assert recorded.state == "stopped"
    assert [e.kind for e in recorded.timeline()][-1] == "session_stopped"
    assert recorded.degraded == 0


def test_everything_is_as_it_was_when_the_recording_is_over(replies: dict[str, Reply]):
    assert "unweave" not in replies["stopped"].text.replace("overwritten", "")


def test_a_prediction_stands_in_the_session_before_what_came_after(
    recorded: Session, replies: dict[str, Reply]
):
    kinds = [(e.kind, (e.body or {}).get("statement")) for e in recorded.timeline()]
    assert ("prediction", "the loss falls") in kinds
    assert "70%" in replies["predict"].text
    assert "text/html" in replies["predict"].messages[0]["content"]["data"]


def test_a_why_is_of_the_cell_that_it_stands_in(steps: dict[str, Step]):
    assert steps["why"].reasons() == (("to see it", False),)


def test_the_cells_without_a_why_are_told_at_the_end(replies: dict[str, Reply]):
    assert "of 24 cells say why" in replies["stop"].text or "cells say why" in replies["stop"].text
    assert "1 of 1 predictions have no outcome" in replies["stop"].text
    assert "REC" in replies["status"].text


def test_a_planted_secret_is_nowhere_on_the_disk(folder: Path, recorded: Session, steps: dict[str, Step]):
    """Not in the database, its log, or a blob; not in code, title, output or traceback; not cut in two."""
    found = {}
    for path in folder.rglob("journal.db*"):
        for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
            if file.is_file():
                raw = file.read_bytes()
                found[file.name] = [s for s in (TOKEN, PASSWORD) if s.encode() in raw]
    assert len(found) >= 2
    assert not any(found.values()), found
    assert recorded.title == "heads [redacted GitHub token]"
    secret = next(step for name, step in steps.items() if "PLANTED_PASSWORD" in name)
    printed = secret.outputs()[0]
    assert printed.text == "[redacted PLANTED_PASSWORD] [redacted GitHub token]\n[redacted PLANTED_PASSWORD]"
    assert printed.redacted == {"PLANTED_PASSWORD": 2, "GitHub token": 1}
    assert "[redacted PLANTED_PASSWORD]" in secret.outputs()[-1].text


def test_the_chain_holds(recorded: Session):
    previous = "0" * 64
    for entry in recorded.journal.entries():
        assert entry.previous == previous
        previous = entry.hash


def test_every_body_is_json_that_other_programs_read(recorded: Session):
    for entry in recorded.timeline():
        assert json.loads(json.dumps(entry.body, allow_nan=False)) == entry.body


def test_a_message_that_is_not_a_cell_is_no_step(kernel: Kernel, recorded: Session):
    count = recorded.step_count
    kernel.run("1", silent=True)
    assert len(recorded.steps()) == count
