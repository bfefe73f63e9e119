"""What others may listen to: rooms tell what they did, and need not know who hears it.

The recorder hears in this way of sweeps, training runs and experiments. Telling costs next to nothing
while nobody listens, and a listener that fails never disturbs the one who told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from unweave.core.log import log


@dataclass(frozen=True)
class Event:
    """Something that was done.

    Args:
        kind: "sweep", "training" or "experiment".
        facts: what came out and from what, as JSON values: a sentence as "text", and whatever else of
            `unweave.journal.records.Evidence` there is.
    """

    kind: str
    facts: Mapping[str, Any]


Listener = Callable[[Event], None]

_listeners: tuple[Listener, ...] = ()


def emit(kind: str, facts: Callable[[], Mapping[str, Any]]) -> None:
    """Tell those who listen; `facts` is called only if somebody does."""
    heard_by = _listeners
    if not heard_by:
        return
    try:
        event = Event(kind, facts())
    except Exception:
        log.warning("what a %s did could not be told", kind, exc_info=True)
        return
    for listener in heard_by:
        try:
            listener(event)
        except Exception:
            log.warning("a listener failed on a %s", kind, exc_info=True)


def listen(listener: Listener) -> None:
    """Call `listener` with each event from now on."""
    global _listeners
    _listeners = (*_listeners, listener)


def unlisten(listener: Listener) -> None:
    """Call it no more; nothing happens if it did not listen."""
    global _listeners
    _listeners = tuple(other for other in _listeners if other != listener)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Listen inside the block."""
    listen(listener)
    try:
        yield
    finally:
        unlisten(listener)
