"""Capture where output goes to a terminal or a file: terminal IPython, and scripts.

What child processes write to the terminal themselves does not pass through here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from unweave.recorder.recording import Recording
from unweave.recorder.tap import Tap
from unweave.recorder.threads import ThreadMarks


class StreamCapture:
    """Hands a recording what is written to the two standard streams: all that a script puts out."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._muted = threading.local()
        self._taps: list[Tap] = []
        self._threads = ThreadMarks(recording, lambda: None)

    def install(self) -> None:
        """Begin to listen."""
        self.attach()
        self._threads.install()

    def attach(self) -> None:
        """Listen to the streams that there are now, also where others have put a method or stream of theirs in place."""
        for tap in self._taps:
            tap.attach()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and all(tap.stream is not stream for tap in self._taps):
                self._taps.append(Tap(stream, self._writes(name)))

    def remove(self) -> None:
        """Listen no more, and leave everything as it was."""
        self._threads.remove()
        for tap in self._taps:
            tap.remove()

    def key(self) -> str | None:
        """There are no keys here."""
        return None

    @contextmanager
    def muted(self) -> Generator[None]:
        """What this thread prints in the block is recorded in another way."""
        before = getattr(self._muted, "now", False)
        self._muted.now = True
        try:
            yield
        finally:
            self._muted.now = before

    def _writes(self, name: str) -> Callable[[str], None]:
        def heard(text: str) -> None:
            recording = self._recording
            if not recording.open or getattr(self._muted, "now", False):
                return
            # Between steps, the main thread writes prompts.
            if not recording.steps.running and threading.current_thread() is threading.main_thread():
                return
            step = recording.steps.of(None)
            if step is not None:
                recording.write(step, name, text)

        return heard


class TerminalCapture(StreamCapture):
    """The same, with displays, results and errors of terminal IPython as what they are.

    Args:
        shell: IPython's.
        recording: what gets it.
    """

    def __init__(self, shell: Any, recording: Recording) -> None:
        super().__init__(recording)
        self._shell = shell
        self._undo: list[tuple[Any, str, Any, Any]] = []
        self._types: list[str] | None = None

    def install(self) -> None:
        """Begin to listen."""
        super().install()
        shell = self._shell
        # A terminal shows text alone; the journal keeps all that a value tells of itself.
        self._types = [*shell.display_formatter.active_types]
        shell.display_formatter.active_types = [*shell.display_formatter.format_types]
        self._put(shell.display_pub, "publish", self._publish)
        self._put(shell.display_pub, "clear_output", self._clear)
        self._put(shell.displayhook, "write_format_data", self._result)
        for name in ("write_output_prompt", "finish_displayhook"):
            self._put(shell.displayhook, name, self._silent)
        self._put(shell, "_showtraceback", self._error)
        # Around a cell, IPython puts methods of its own on the streams, and takes them off in the end.
        self._put(shell, "prompt_for_code", self._prompt)
        with suppress(ImportError):
            from prompt_toolkit.patch_stdout import StdoutProxy

            # While a prompt stands there, this is what threads print through.
            self._put(StdoutProxy, "write", self._proxied)

    def remove(self) -> None:
        """Listen no more, and leave everything as it was."""
        super().remove()
        if self._types is not None:
            self._shell.display_formatter.active_types = self._types
        for target, name, ours, before in reversed(self._undo):
            if vars(target).get(name) is ours:
                if before is None:
                    delattr(target, name)
                else:
                    setattr(target, name, before)

    def _put(self, target: Any, name: str, around: Callable[[Any], Any]) -> None:
        before = vars(target).get(name)
        ours = around(getattr(target, name))
        setattr(target, name, ours)
        self._undo.append((target, name, ours, before))

    def _tell(self, sort: str, data: Mapping[str, Any], **facts: Any) -> None:
        with suppress(Exception):
            step = self._recording.steps.of(None)
            if step is not None:
                self._recording.output(step, sort, data, **facts)

    def _publish(self, original: Any) -> Any:
        def publish(
            data: Any,
            metadata: Any = None,
            *args: Any,
            transient: Any = None,
            update: bool = False,
            **more: Any,
        ) -> Any:
            display_id = (transient or {}).get("display_id")
            sort = "update" if update else "display"
            self._tell(sort, data, metadata=metadata or None, display_id=display_id)
            with self.muted():
                return original(data, metadata, *args, transient=transient, update=update, **more)

        return publish

    def _clear(self, original: Any) -> Any:
        def clear_output(wait: bool = False) -> Any:
            self._tell("clear", {}, metadata={"wait": bool(wait)})
            with self.muted():
                return original(wait)

        return clear_output

    def _result(self, original: Any) -> Any:
        def write_format_data(format_dict: Any, md_dict: Any = None) -> Any:
            count = self._shell.execution_count - 1
            self._tell("result", format_dict, metadata=md_dict or None, execution_count=count)
            with self.muted():
                return original(format_dict, md_dict)

        return write_format_data

    def _silent(self, original: Any) -> Any:
        def silent(*args: Any, **kwargs: Any) -> Any:
            with self.muted():
                return original(*args, **kwargs)

        return silent

    def _error(self, original: Any) -> Any:
        def showtraceback(etype: Any, evalue: Any, stb: Any) -> Any:
            lines = [stb] if isinstance(stb, str) else [str(line) for line in stb]
            error = {
                "name": getattr(etype, "__name__", str(etype)),
                "value": _text(evalue),
                "traceback": lines,
            }
            self._tell("error", {}, error=error)
            with self.muted():
                return original(etype, evalue, stb)

        return showtraceback

    def _prompt(self, original: Any) -> Any:
        def prompt_for_code(*args: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                self.attach()
            return original(*args, **kwargs)

        return prompt_for_code

    def _proxied(self, original: Any) -> Any:
        heard = self._writes("stdout")

        def write(proxy: Any, data: str) -> Any:
            written = original(proxy, data)
            with suppress(Exception):
                heard(data)
            return written

        return write


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}, whose text could not be made>"
