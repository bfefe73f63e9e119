"""Ctrl-C that waits for the end of a step, so that no update is left half-done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Generator[Callable[[], bool]]:
    """Within the block, the first Ctrl-C is noted, and the yielded function says so.

    A second one raises at once. One that was noted is never lost: it raises when the block ends.
    Signals reach the main thread alone, and a process may have been told to ignore them: there
    this does nothing.
    """
    previous = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or previous in (signal.SIG_IGN, None):
        yield lambda: False
        return
    noted = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, previous)
    if noted:
        raise KeyboardInterrupt
