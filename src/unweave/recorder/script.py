"""`with unweave.record("title"):` — a session of a script, or a step of the one that is recorded already."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from unweave.recorder import active
from unweave.recorder.kernel import KernelCapture
from unweave.recorder.recording import Recording
from unweave.recorder.research_log import ResearchLog
from unweave.recorder.steps import OpenStep
from unweave.recorder.terminal import StreamCapture, TerminalCapture


class RecordedBlock:
    """What `unweave.record` gives: says things about the block while it runs.

    Args:
        recording: that it is in.
        step: that it is.
    """

    def __init__(self, recording: Recording, step: OpenStep) -> None:
        self._recording, self._step = recording, step
        self._log = ResearchLog(lambda: recording if recording.open else None, lambda: recording)

    @property
    def session(self) -> str:
        """The id of the session."""
        return self._recording.id

    @property
    def path(self) -> Path:
        """Of the journal."""
        return self._recording.path

    def predict(self, statement: str, probability: float, **number: Any) -> str:
        """Say beforehand what you expect; the label by which `outcome` finds it.

        Args:
            statement: comes true or does not.
            probability: from 0 to 1, that it does.
            number: "number", "threshold", "direction" ("above" or "below") and "unit", of a prediction of one.

        Raises:
            InputError: for what can be no prediction.
        """
        return self._log.predict(probability, statement, **number).label

    def outcome(self, result: str, note: str = "", *, of: str | None = None) -> None:
        """Say how a prediction came out: "yes", "no" or "unclear"; the last open one, or the one of that label.

        Raises:
            InputError: if there is no such prediction.
        """
        self._log.outcome(of, result, note)

    def note(self, text: str) -> None:
        """Write a note."""
        self._log.note(text)

    def why(self, text: str) -> None:
        """Say why this is what you wanted."""
        self._recording.say("why", {"text": text, "assistant": False}, self._step)

    def confusing(self, text: str) -> None:
        """Write what you don't understand."""
        self._log.surface("confusing", text)

    def show(self, value: Any) -> None:
        """Keep a figure, a table or anything else as a notebook would show it.

        What a value tells of itself is kept: `_repr_mimebundle_`, `_repr_html_`, `_repr_png_`, `_repr_svg_` and
        its text.
        """
        data, metadata = bundle_of(value)
        self._recording.output(self._step, "display", data, metadata=metadata or None)


@contextmanager
def record(title: str = "", *, journal: str | Path | None = None) -> Generator[RecordedBlock]:
    """Record what the block does: its code, what it prints, its error, its time.

    The journal is `journal`, else what UNWEAVE_JOURNAL names, else `journal.db` of the project.
    Where a session is recorded already, as in a notebook, the block becomes a step of that.

        with unweave.record("norms of the heads") as session:
            session.predict("head 5 has the largest norm", 0.6)
            print(norms)

    Args:
        title: may be empty.
        journal: the file, or a folder.

    Raises:
        InputError: if the journal can't be, or is another than the one that is recorded into.
        JournalError: if it can't be written.
    """
    here = inspect.currentframe()
    # This generator's frame, then contextlib's, then the one that the block stands in.
    code = _code_of(here.f_back.f_back if here is not None and here.f_back is not None else None)
    going_on = active.current()
    if going_on is not None:
        outer = going_on.steps.within(None)
        with _step(going_on, code, title, None if outer is None else outer.key) as block:
            yield block
        return
    recording = Recording(journal, title=title, sort="script", warn=_warn)
    capture = _capture(recording)
    capture.install()
    active.put(recording)
    try:
        with _step(recording, code, "", capture.key()) as block:
            yield block
    finally:
        try:
            if not recording.stop():
                _warn(f"Unweave: not all of the recording could be written to {recording.path}")
        finally:
            capture.remove()
            active.put(None)


@contextmanager
def _step(recording: Recording, code: str, title: str, key: str | None) -> Generator[RecordedBlock]:
    step = recording.begin(code, key=key, title=title or None)
    status = "ok"
    try:
        yield RecordedBlock(recording, step)
    except BaseException as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
        lines = traceback.format_exception(error)
        told = {"name": type(error).__name__, "value": str(error), "traceback": "".join(lines).splitlines()}
        recording.output(step, "error", {}, error=told)
        raise
    finally:
        recording.end(step, status)


def _capture(recording: Recording) -> KernelCapture | StreamCapture:
    """What hears all that is shown here: also the displays of a notebook whose cell has the block."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None:
        return StreamCapture(recording)
    return (KernelCapture if getattr(shell, "kernel", None) is not None else TerminalCapture)(
        shell, recording
    )


def _code_of(frame: FrameType | None) -> str:
    """The source of the `with` statement that runs in a frame, or that it can't be told."""
    if frame is None:
        return "# the source can't be told"
    try:
        source = _source(frame.f_code.co_filename)
        blocks = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.With)
            and node.lineno <= frame.f_lineno <= (node.end_lineno or node.lineno)
        ]
        begun = [node for node in blocks if node.lineno <= frame.f_lineno <= node.body[0].lineno]
        found = max(begun or blocks, key=lambda node: node.lineno)
        lines = source.splitlines()[found.lineno - 1 : found.end_lineno]
        return textwrap.dedent("\n".join(lines))
    except (OSError, SyntaxError, ValueError):
        return f"# {frame.f_code.co_name} in {Path(frame.f_code.co_filename).name}, whose source is not there"


def _source(file: str) -> str:
    lines = linecache.getlines(file)
    if not lines:
        raise OSError(f"no source of {file}")
    return "".join(lines)


def bundle_of(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The MIME bundle of a value, and its metadata, as it tells them itself."""
    data: dict[str, Any] = {"text/plain": value if isinstance(value, str) else repr(value)}
    metadata: dict[str, Any] = {}
    whole = getattr(value, "_repr_mimebundle_", None)
    if callable(whole):
        told: Any = whole()
        if isinstance(told, tuple):
            told, metadata = told
        data |= told or {}
    for method, mime in _REPRS.items():
        tell = getattr(value, method, None)
        if callable(tell) and mime not in data and (told := tell()) is not None:
            data[mime] = told
    return data, metadata


_REPRS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
}


def _warn(text: str) -> None:
    sys.stderr.write(text + "\n")
