"""Capture in a Jupyter kernel: every message that its clients are sent, and every write to its streams.

Written against ipykernel 6 and 7, which share what is used here: all that a client shows goes
through the kernel session's `send`, prints go through the `write` of its two streams (those of child
processes too), and what a forked child prints comes back over a pipe, as whole messages.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from unweave.recorder.recording import Recording
from unweave.recorder.steps import OpenStep
from unweave.recorder.tap import Tap
from unweave.recorder.threads import ThreadMarks

_DELIMITER = b"<IDS|MSG>"


class KernelCapture:
    """Hands a recording what one kernel puts out.

    Args:
        shell: IPython's, in a kernel.
        recording: what gets it.
    """

    def __init__(self, shell: Any, recording: Recording) -> None:
        self._shell, self._recording = shell, recording
        self._session: Any = shell.kernel.session
        self._pipe: Any = getattr(shell.kernel.iopub_socket, "io_thread", None)
        self._sending = threading.local()
        self._taps: list[Tap] = []
        self._undo: list[tuple[Any, str, Any]] = []
        self._threads = ThreadMarks(recording, self.key)

    def install(self) -> None:
        """Begin to listen."""
        self._put(self._session, "send", self._send(self._session.send))
        if self._pipe is not None:
            self._put(self._pipe, "send_multipart", self._send_multipart(self._pipe.send_multipart))
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                continue
            self._taps.append(Tap(stream, self._writes(stream, name)))
        self._threads.install()

    def attach(self) -> None:
        """Listen to the streams again, if others have put a method of theirs in place."""
        for tap in self._taps:
            tap.attach()

    def remove(self) -> None:
        """Listen no more, and leave everything as it was."""
        self._threads.remove()
        for tap in self._taps:
            tap.remove()
        for target, name, ours in self._undo:
            if vars(target).get(name) is ours:
                delattr(target, name)

    def key(self) -> str | None:
        """The message that the code which runs here was sent by."""
        with suppress(Exception):
            return self._shell.get_parent()["header"]["msg_id"]
        return None

    def _put(self, target: Any, name: str, ours: Any) -> None:
        setattr(target, name, ours)
        self._undo.append((target, name, ours))

    def _send(self, original: Any) -> Any:
        def send(*args: Any, **kwargs: Any) -> Any:
            before = getattr(self._sending, "now", False)
            self._sending.now = True
            try:
                sent = original(*args, **kwargs)
            finally:
                self._sending.now = before
            if isinstance(sent, Mapping) and self._recording.open:
                with suppress(Exception):
                    kind, parent = sent["header"]["msg_type"], sent["parent_header"]
                    # What a stream flushes was heard when it was written.
                    if not (kind == "stream" and args and args[0] is self._pipe):
                        self._heard(kind, parent, sent["content"])
            return sent

        return send

    def _send_multipart(self, original: Any) -> Any:
        def send_multipart(parts: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            # What comes by no `send` of ours is a message that a forked child handed up.
            if not getattr(self._sending, "now", False) and self._recording.open:
                with suppress(Exception):
                    at = [*parts].index(_DELIMITER)
                    header, parent, _, content = (json.loads(bytes(part)) for part in parts[at + 2 : at + 6])
                    self._heard(header["msg_type"], parent, content, piped=True)
            return original(parts, *args, **kwargs)

        return send_multipart

    def _writes(self, stream: Any, name: str) -> Any:
        def heard(text: str) -> None:
            if self._recording.open:
                thread = threading.current_thread()
                piped = thread is getattr(stream, "watch_fd_thread", None)
                parent = getattr(stream, "parent_header", None) or {}
                # ipykernel 6 gives what a thread prints to the cell that began it: a pool's first one, for ever.
                by_thread = (
                    hasattr(stream, "_thread_to_parent_header") and thread is not threading.main_thread()
                )
                key = None if by_thread and not piped else parent.get("msg_id")
                step = self._step(key or self.key())
                if step is not None:
                    self._recording.write(step, name, text, piped=piped)

        return heard

    def _step(self, key: str | None) -> OpenStep | None:
        return self._recording.steps.of(key) if key else None

    def _heard(
        self, kind: str, parent: Mapping[str, Any], content: Mapping[str, Any], piped: bool = False
    ) -> None:
        step = self._step(parent.get("msg_id"))
        if step is None:
            return
        put = self._recording.output
        match kind:
            case "display_data" | "update_display_data":
                put(
                    step,
                    "display" if kind == "display_data" else "update",
                    content["data"],
                    metadata=content.get("metadata") or None,
                    display_id=(content.get("transient") or {}).get("display_id"),
                )
            case "execute_result":
                put(
                    step,
                    "result",
                    content["data"],
                    metadata=content.get("metadata") or None,
                    execution_count=content.get("execution_count"),
                )
            case "error":
                error = {name: content[key] for name, key in (("name", "ename"), ("value", "evalue"))}
                put(step, "error", {}, error={**error, "traceback": [*content["traceback"]]})
            case "clear_output":
                put(step, "clear", {}, metadata={"wait": bool(content.get("wait"))})
            case "stream":
                self._recording.write(step, content["name"], content["text"], piped=piped)
            case _:
                pass
