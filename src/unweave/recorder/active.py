"""The recording that goes on in this process: there is one at most."""

from __future__ import annotations

from unweave.core.errors import InputError
from unweave.recorder.recording import Recording

_recording: Recording | None = None


def put(recording: Recording | None) -> None:
    """Remember it."""
    global _recording
    _recording = recording


def current() -> Recording | None:
    """It, if it goes on here; in a forked child there is none."""
    return _recording if _recording is not None and _recording.open else None


def require_none() -> None:
    """Refuse to begin another.

    Raises:
        InputError: if one goes on.
    """
    if (recording := current()) is not None:
        raise InputError(
            wanted="no recording that goes on already",
            got=f"{recording.title or 'one without a title'!r}, {recording.state}",
            remedy="`%record resume` goes on with it, `%record stop` ends it",
        )
