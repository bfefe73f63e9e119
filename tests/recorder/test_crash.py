"""`kill -9` at random moments: all that was committed is there, the chain holds, and the session reopens."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.repository import ROOT
from unweave.journal import Journal
from unweave.journal.sessions import Session, session

# A script with the recorder's own machinery, which tells by a pipe what it knows to be committed.
SCRIPT = """
import os, sys, time
from pathlib import Path
from unweave.recorder.recording import Recording

recording = Recording(Path(sys.argv[1]), title="to be killed", sort="script", warn=print)
out = os.fdopen(int(sys.argv[2]), "w", buffering=1)
print("ready", file=out)
for number in range(1, 100_000):
    step = recording.begin(f"step({number})")
    print("begun", number, file=out)
    recording.write(step, "stdout", f"output of {number}\\n")
    recording.output(step, "display", {"text/plain": f"figure {number}", "text/html": "x" * (number % 7) * 20_000})
    recording.end(step, "ok")
    recording.read(lambda journal: None)
    print("ended", number, file=out)
"""


def killed(folder: Path, after_s: float) -> tuple[Path, list[tuple[str, int]]]:
    """Run the script and kill it; its journal, and what it told to be committed."""
    path, (reading, writing) = folder / "journal.db", os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path), str(writing)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        pass_fds=[writing],
    )
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.readline() == "ready\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = told.read().splitlines()
    # The last line may be half of one.
    found = [re.fullmatch(r"(begun|ended) (\d+)", line) for line in lines]
    return path, [(match[1], int(match[2])) for match in found if match]


def require_whole(recorded: Session, told: list[tuple[str, int]]) -> None:
    """Everything that was told is there, with all that it put out; the chain holds."""
    steps = {step.code: step for step in recorded.steps()}
    begun = {number for word, number in told if word == "begun"}
    ended = {number for word, number in told if word == "ended"}
    assert begun <= {int(code[5:-1]) for code in steps}
    for number in ended:
        step = steps[f"step({number})"]
        assert step.status == "ok"
        printed, figure = step.outputs()
        assert printed.text == f"output of {number}\n"
        assert figure.bundle() == {"text/plain": f"figure {number}", "text/html": "x" * (number % 7) * 20_000}
    assert recorded.state == "interrupted"
    assert all(step.status in ("ok", "interrupted") for step in steps.values())
    previous = "0" * 64
    for entry in recorded.journal.entries():
        assert entry.previous == previous
        previous = entry.hash


def go_on(journal: Journal) -> None:
    """It can be written as before."""
    count = journal.head.seq
    journal.append("note", {"text": "after the crash"})
    assert journal.head.seq == count + 1


@pytest.mark.parametrize(
    "number", [*range(5), *(pytest.param(n, marks=pytest.mark.slow) for n in range(5, 200))]
)
def test_nothing_that_was_committed_is_lost(number: int, tmp_path: Path):
    after_s = random.Random(number).uniform(0, 0.3)
    path, told = killed(tmp_path, after_s)
    with Journal.open(path) as journal:
        require_whole(session(journal, "last"), told)
        go_on(journal)


def test_the_check_would_see_a_loss(tmp_path: Path):
    path, told = killed(tmp_path, 0.2)
    with Journal.open(path) as journal:
        recorded = session(journal, "last")
        with pytest.raises((AssertionError, KeyError)):
            require_whole(recorded, [*told, ("begun", 99_999)])
        with pytest.raises((AssertionError, KeyError)):
            require_whole(recorded, [*told, ("ended", len(recorded.steps()) + 1)])
