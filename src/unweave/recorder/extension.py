"""`%load_ext unweave`: the magics, and the steps of the cells that a shell runs."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unweave.journal import locate
from unweave.recorder import active
from unweave.recorder.kernel import KernelCapture
from unweave.recorder.light import Light
from unweave.recorder.narration import only_narrates
from unweave.recorder.recording import Recording
from unweave.recorder.steps import OpenStep
from unweave.recorder.terminal import TerminalCapture

VARIABLE = "UNWEAVE_RECORD"  # set to anything but 0: recording starts as soon as the extension is loaded


class Extension:
    """What is loaded into one shell.

    Args:
        shell: IPython's.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.kernel = getattr(shell, "kernel", None) is not None
        self.recording: Recording | None = None
        self.last: Recording | None = None  # the one that was stopped
        self._capture: KernelCapture | TerminalCapture | None = None
        self._light: Light | None = None
        self._cells: list[_Cell] = []  # that run, the innermost last

    def load(self) -> None:
        """Hear of cells from now on."""
        self.shell.events.register("pre_run_cell", self._before)
        self.shell.events.register("post_run_cell", self._after)
        atexit.register(self._exit)

    def unload(self) -> None:
        """Stop a recording that goes on, and hear of cells no more."""
        self.stop()
        for name, function in (("pre_run_cell", self._before), ("post_run_cell", self._after)):
            with suppress(ValueError):
                self.shell.events.unregister(name, function)
        atexit.unregister(self._exit)

    def start(self, title: str = "", path: Path | str | None = None) -> Recording:
        """Begin a recording; the cell that asks for it is its first step.

        Raises:
            InputError: if one goes on already, or the journal can't be.
            JournalError: if it can't be written.
        """
        active.require_none()
        sort = "kernel" if self.kernel else "terminal"
        recording = Recording(path, title=title, sort=sort, warn=_warn)
        capture = (KernelCapture if self.kernel else TerminalCapture)(self.shell, recording)
        capture.install()
        self.recording, self._capture, self.last = recording, capture, None
        self._light = Light(self.shell, self.kernel, recording.id)
        active.put(recording)
        if not self._cells:
            # It loads the extension as well: IPython told of it before anybody heard.
            self._cells.append(_running_cell(self.shell))
        self._cells[-1].step = self._begin(self._cells[-1])
        return recording

    def stop(self, reason: str = "asked") -> Recording | None:
        """End the recording, if one goes on, and give it back."""
        recording, self.recording = self.recording, None
        if recording is None:
            return None
        self.last = recording
        for cell in self._cells:
            cell.step = None
        try:
            if not recording.stop(reason):
                _warn(f"Unweave: not all of the recording could be written to {recording.path}")
        finally:
            if self._capture is not None:
                self._capture.remove()
            self._capture = None
            active.put(None)
        return recording

    def show(self, state: str, text: str) -> None:
        """Show the light."""
        if self._light is not None:
            self._light.show(state, text)

    def _before(self, info: Any) -> None:
        cell = _Cell(info.raw_cell, info, getattr(info, "cell_id", None), _number(self.shell, info))
        try:
            if self._capture is not None and self.recording is not None and self.recording.recording:
                self._capture.attach()
                cell.step = self._begin(cell)
        except Exception as error:
            self._fail(error)
        self._cells.append(cell)

    def _after(self, result: Any) -> None:
        if not self._cells or (result is not None and self._cells[-1].info not in (None, result.info)):
            return  # an empty one: IPython tells of its end alone
        step = self._cells.pop().step
        if step is None or self.recording is None:
            return
        try:
            self.recording.end(step, _status(result))
        except Exception as error:
            self._fail(error)

    def _begin(self, cell: _Cell) -> OpenStep:
        assert self.recording is not None and self._capture is not None
        key = self._capture.key()
        return self.recording.begin(
            cell.code,
            key=key,
            narration=only_narrates(cell.code),
            execution_count=cell.number,
            parent_msg_id=key,
            cell_id=cell.id,
        )

    def _fail(self, error: Exception) -> None:
        with suppress(Exception):
            if self.recording is not None:
                self.recording.degrade(f"a step could not be recorded ({type(error).__name__}: {error})")

    def _exit(self) -> None:
        self.stop("exit")


def load(shell: Any) -> None:
    """Put the extension into a shell; called by `%load_ext unweave`."""
    from unweave.recorder.magics import ResearchMagics

    extension = Extension(shell)
    shell.register_magics(ResearchMagics(shell, extension))
    extension.load()
    _loaded[id(shell)] = extension
    if os.environ.get(VARIABLE, "0") not in ("", "0"):
        extension.start()
        extension.show("recording", f"into {extension.recording.path if extension.recording else ''}")
    else:
        sys.stdout.write(
            f"Unweave is loaded. `%record start` records into {locate()}; nothing is recorded yet.\n"
        )


def unload(shell: Any) -> None:
    """Take it out again; called by `%unload_ext unweave`."""
    extension = _loaded.pop(id(shell), None)
    if extension is not None:
        extension.unload()


@dataclass
class _Cell:
    """One that runs: its code, what IPython said of it, the front end's id, In [number], and its step if recorded."""

    code: str
    info: Any = None
    id: str | None = None
    number: int | None = None
    step: OpenStep | None = None


_loaded: dict[int, Extension] = {}


def _number(shell: Any, info: Any) -> int | None:
    """In [this] of a cell that is about to run; None of one that has none."""
    if not getattr(info, "store_history", True):
        return None
    with suppress(Exception):
        # Newer versions of IPython count before they tell of the cell; its input is stored after that in all.
        ahead = shell.execution_count - len(shell.history_manager.input_hist_raw)
        return shell.execution_count - (ahead if ahead in (0, 1) else 1)
    return None


def _running_cell(shell: Any) -> _Cell:
    """The cell that runs, of which nobody told."""
    with suppress(Exception):
        stored = shell.history_manager.input_hist_raw
        return _Cell(stored[-1], number=len(stored) - 1)
    return _Cell("")


def _status(result: Any) -> str:
    if result is None:  # cancelled from outside
        return "interrupted"
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return "ok"
    return "interrupted" if isinstance(error, KeyboardInterrupt | asyncio.CancelledError) else "error"


def _warn(text: str) -> None:
    sys.stderr.write(text + "\n")
