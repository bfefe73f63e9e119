"""Listening to a stream: its own `write` is called as before, and then what was written is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

HEARD, BEFORE = "_unweave_heard", "_unweave_before"


class Tap:
    """Hears what is written to one stream.

    The method is put on the object itself: whoever holds that stream is heard, and whoever
    puts another stream in its place for a while, to capture output, is not: nobody sees that.

    Args:
        stream: to hear.
        heard: called with each text after it was written; what it raises is lost.
    """

    def __init__(self, stream: TextIO, heard: Callable[[str], None]) -> None:
        self.stream, self._heard, self._open = stream, heard, True
        self._inside = threading.local()
        self.attach()

    def attach(self) -> None:
        """Listen, if somebody has put a method of their own in the place of this one since."""
        current = self.stream.write
        if not self._open or getattr(current, HEARD, None) is self:
            return
        tap = self

        def write(text: str, *args: Any, **kwargs: Any) -> Any:
            if not tap._open or getattr(tap._inside, "now", False):
                return current(text, *args, **kwargs)
            # What was put over an earlier method of ours may call that: one of them tells.
            tap._inside.now = True
            try:
                written = current(text, *args, **kwargs)
            finally:
                tap._inside.now = False
            tap._tell(text)
            return written

        setattr(write, HEARD, self)
        setattr(write, BEFORE, vars(self.stream).get("write") if hasattr(self.stream, "__dict__") else None)
        try:
            self.stream.write = write
        except AttributeError:  # an object that takes no attributes can't be heard
            self._open = False

    @property
    def hears(self) -> bool:
        """Whether the stream could be tapped."""
        return self._open

    def remove(self) -> None:
        """Listen no more. A method of ours that others have kept goes on without telling."""
        self._open = False
        current = vars(self.stream).get("write") if hasattr(self.stream, "__dict__") else None
        if getattr(current, HEARD, None) is not self:
            return
        before = getattr(current, BEFORE)
        if before is None:
            del self.stream.write
        else:
            self.stream.write = before

    def _tell(self, text: str) -> None:
        with suppress(Exception):  # whoever writes is not to know
            self._heard(text)
