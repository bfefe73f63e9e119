"""Terminal IPython in a pseudo-terminal, with its real prompt."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from tests.repository import ROOT
from unweave.journal import Journal
from unweave.journal.sessions import Session, Step, session

WAIT_S = 60
CURSOR_SHOWN = "\x1b[?25h"  # what a prompt ends with
CELLS = (
    "print('to stdout')",
    "6 * 7",
    "import sys; print('to stderr', file=sys.stderr)",
    "1 / 0",
    "from IPython.display import display, HTML; display(HTML('<b>bold</b>'))",
    "import os; print(os.environ['PLANTED_SECRET'])",
    "import threading, time; threading.Timer(0.5, print, ('from a timer',)).start()",
    '%predict 60% "it holds"',
    "await __import__('asyncio').sleep(0.01); print('async')",
)
WAITS = "print('waits', flush=True); time.sleep(60)"


class Terminal:
    """IPython in a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.db"
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "UNWEAVE_JOURNAL": str(self.journal),
            "IPYTHONDIR": str(folder / "ipython"),
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "TERM": "xterm",
            "PLANTED_SECRET": "planted-in-terminal",
        }
        command = [
            "-m",
            "IPython",
            "--no-banner",
            "--no-confirm-exit",
            "--InteractiveShell.autosuggestions_provider=None",
        ]
        self._child = pexpect.spawn(
            sys.executable,
            command,
            env=environ,
            cwd=str(folder),
            timeout=WAIT_S,
            encoding="utf-8",
            dimensions=(40, 200),
            # Where tests run in the background, Ctrl-C may be ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._screen = ""

    def type(self, line: str) -> None:
        """Wait for the prompt, type a line and press Enter: what is typed before is thrown away."""
        begun = time.monotonic()
        while time.monotonic() - begun < WAIT_S:
            if not self._drain(0.3) and self._screen.endswith(CURSOR_SHOWN):
                break
        self._screen = ""
        self._child.send(line + "\r")

    def see(self, pattern: str) -> str:
        """Wait until this stands on the screen; what came before it."""
        begun = time.monotonic()
        while time.monotonic() - begun < WAIT_S:
            if re.search(pattern, self._screen):
                return self._screen
            self._drain(0.1)
        raise AssertionError(f"{pattern} not in {WAIT_S} s; the screen: {self._screen!r}")

    def press_control_c(self) -> None:
        """Interrupt what runs."""
        self._child.sendintr()

    def until(self, holds: Callable[[Session], bool]) -> None:
        """Wait until this holds of the last session, and keep reading what is written to the terminal."""
        begun = time.monotonic()
        while time.monotonic() - begun < WAIT_S:
            self._drain(0.1)
            if self.journal.exists():
                with Journal.open(self.journal) as journal:
                    try:
                        if holds(session(journal, "last")):
                            return
                    except ValueError:
                        pass
        raise AssertionError(f"not in {WAIT_S} s; the screen: {self._screen!r}")

    def close(self) -> None:
        """End it."""
        self._child.close(force=True)

    def read_to_end(self) -> str:
        """Everything up to its end."""
        begun = time.monotonic()
        while self._child.isalive() and time.monotonic() - begun < WAIT_S:
            self._drain(0.1)
        self._drain(0.1)
        return self._screen

    def _drain(self, wait_s: float) -> bool:
        """Read what has been written; whether there was anything."""
        with suppress(pexpect.TIMEOUT, pexpect.EOF):
            self._screen += self._child.read_nonblocking(65536, timeout=wait_s)
            return True
        return False


@pytest.fixture(scope="module")
def light() -> list[str]:
    return []


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, light: list[str]) -> Generator[Session]:
    terminal = Terminal(tmp_path_factory.mktemp("terminal"))
    try:
        terminal.type("%load_ext unweave")
        terminal.see("nothing is recorded yet")
        terminal.type('%record start "in a terminal"')
        light.append(terminal.see(r"REC (\x1b\[[0-9;]*m)*In "))
        for number, cell in enumerate(CELLS, start=2):
            terminal.type(cell)
            terminal.until(lambda s, n=number: s.step_count >= n and s.steps()[n - 1].status != "running")
            if "Timer" in cell:
                terminal.until(lambda s, n=number: s.steps()[n - 1].outputs_count > 0)
        terminal.type(WAITS)
        terminal.until(lambda s: s.steps()[-1].code == WAITS and s.steps()[-1].outputs_count == 1)
        terminal.press_control_c()
        terminal.until(lambda s: s.steps()[-1].status != "running")
        terminal.type("%record stop")
        terminal.until(lambda s: s.state == "stopped")
        terminal.type("print('over')")
        terminal.see(r"over\r?\n")
        terminal.type("exit")
        light.append(terminal.read_to_end())
    finally:
        terminal.close()
    with Journal.open(terminal.journal) as journal:
        yield session(journal, "last")


@pytest.fixture(scope="module")
def steps(recorded: Session) -> dict[str, Step]:
    return {step.code: step for step in recorded.steps()}


def texts(step: Step) -> list[tuple[str, str]]:
    return [(output.name or output.sort, output.text) for output in step.outputs()]


def test_the_session_is_the_terminals(recorded: Session):
    assert (recorded.title, recorded.sort, recorded.state, recorded.degraded) == (
        "in a terminal",
        "terminal",
        "stopped",
        0,
    )
    assert [step.n for step in recorded.steps()] == [*range(1, len(CELLS) + 4)]


def test_the_light_stands_in_the_prompt(light: list[str]):
    assert "● REC" in light[0]
    assert "REC" not in light[1]


def test_prints_results_and_displays_are_told_apart_and_kept_once(steps: dict[str, Step]):
    assert texts(steps[CELLS[0]]) == [("stdout", "to stdout\n")]
    assert texts(steps[CELLS[1]]) == [("result", "42")]
    assert steps[CELLS[1]].outputs()[0].execution_count == steps[CELLS[1]].execution_count
    assert texts(steps[CELLS[2]]) == [("stderr", "to stderr\n")]
    [display] = steps[CELLS[4]].outputs()
    assert display.sort == "display" and display.bundle()["text/html"] == "<b>bold</b>"
    assert texts(steps[CELLS[8]]) == [("stdout", "async\n")]


def test_an_error_is_an_error_and_not_text(steps: dict[str, Step]):
    [output] = steps[CELLS[3]].outputs()
    assert steps[CELLS[3]].status == "error"
    assert output.error is not None and output.error[0] == "ZeroDivisionError"


def test_what_a_thread_prints_while_the_prompt_stands_there_is_late(steps: dict[str, Step]):
    [output] = steps[CELLS[6]].outputs()
    assert (output.text, output.late) == ("from a timer\n", True)


def test_control_c(steps: dict[str, Step]):
    step = steps[WAITS]
    assert step.status == "interrupted"
    assert step.outputs()[0].text.startswith("waits\n")


def test_a_prediction_and_a_secret(steps: dict[str, Step], recorded: Session):
    assert texts(steps[CELLS[7]]) == [("stdout", "prediction P1 · 60% · it holds\n")]
    assert texts(steps[CELLS[5]]) == [("stdout", "[redacted PLANTED_SECRET]\n")]
    folder = recorded.journal.path.parent
    assert not any(
        b"planted-in-terminal" in file.read_bytes() for file in folder.glob("journal.db*") if file.is_file()
    )


def test_nothing_after_the_end_is_recorded(recorded: Session):
    assert not any("over" in step.code for step in recorded.steps())
