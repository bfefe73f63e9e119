"""Threads remember the step that began them, so that what they print late is known for what it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from unweave.recorder.recording import Recording


class ThreadMarks:
    """Marks each thread that is started while a recording goes on.

    Args:
        recording: whose steps they belong to.
        key: of the step that runs here; None where there are no keys.
    """

    def __init__(self, recording: Recording, key: Callable[[], str | None]) -> None:
        self._recording, self._key = recording, key
        self._original: Any = None
        self._ours: Any = None

    def install(self) -> None:
        """Begin to mark."""
        original, recording, key = threading.Thread.start, self._recording, self._key

        def start(self: threading.Thread) -> None:
            if recording.open:
                with suppress(Exception):
                    recording.steps.mark(self, key())
            original(self)

        self._original, self._ours = original, start
        threading.Thread.start = start

    def remove(self) -> None:
        """Mark no more."""
        if threading.Thread.start is self._ours:
            threading.Thread.start = self._original
