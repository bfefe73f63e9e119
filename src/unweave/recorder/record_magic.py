"""`%record`: start, pause, resume, stop, status, attach."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from unweave.core.errors import InputError, nearest
from unweave.journal import JournalError
from unweave.journal.session_log import SessionLog
from unweave.recorder import media
from unweave.recorder.extension import Extension
from unweave.recorder.narration import Narration, narration
from unweave.recorder.recording import Recording
from unweave.recorder.words import first_word, seconds, unquoted


def record(extension: Extension, line: str) -> None:
    """Do what the line says.

    Raises:
        InputError: for a word that is none of these, or one that does not fit now.
        JournalError: if the journal can't be used.
    """
    word, rest = first_word(line)
    word = word or "status"
    if word not in _DONE:
        raise InputError(
            wanted=f"%record {', '.join(_DONE)}", got=repr(word), remedy=f"near it: {nearest(word, _DONE, 1)}"
        )
    _DONE[word](extension, rest)


def _start(extension: Extension, rest: str) -> None:
    if extension.recording is not None and extension.recording.state == "paused":
        _resume(extension, "")
        return
    recording = extension.start(unquoted(rest))
    title = f"{recording.title!r} " if recording.title else ""
    extension.show("recording", f"{title}into {recording.path}, session {recording.id}")


def _pause(extension: Extension, rest: str) -> None:
    recording = _going_on(extension)
    recording.pause()
    extension.show("paused", "cells are not recorded until %record resume")


def _resume(extension: Extension, rest: str) -> None:
    recording = _going_on(extension)
    recording.resume()
    extension.show("recording", f"session {recording.id} goes on")


def _stop(extension: Extension, rest: str) -> None:
    recording = _going_on(extension)
    said = _narration(recording)
    extension.show("stopped", _told(recording))
    sys.stdout.write(f"{said or 'what is lacking in words could not be read'}.\n")
    if said is not None and (said.without_why or said.open_predictions):
        sys.stdout.write('%why --cell N "…" and %outcome P1 yes can still be given.\n')
    extension.stop()


def _status(extension: Extension, rest: str) -> None:
    recording = extension.recording
    if recording is None:
        sys.stdout.write("nothing is being recorded; %record start begins\n")
        return
    extension.show(recording.state, _told(recording))
    sys.stdout.write(f"{_narration(recording) or 'what is lacking in words could not be read'}.\n")


def _narration(recording: Recording) -> Narration | None:
    """What the session lacks in words; None if the journal can't be read now: it is to be stopped all the same."""
    try:
        return recording.read(lambda journal: narration(journal, recording.id))
    except JournalError:
        return None


def _attach(extension: Extension, rest: str) -> None:
    recording = _going_on(extension)
    file, _, offset = rest.rpartition(" ")
    if not file:
        raise InputError(
            wanted="a file and its offset", got=repr(rest), remedy="write %record attach talk.mp4 1:30"
        )
    found = media.described(Path(unquoted(file)).expanduser())
    at = seconds(offset)
    recording.read(lambda journal: SessionLog(journal, recording.id).attach(offset_s=at, **found))
    sys.stdout.write(f"attached {found['media'].name}, which begins {at:g} s after the session\n")


def _going_on(extension: Extension) -> Recording:
    if extension.recording is None:
        raise InputError(wanted="a recording that goes on", got="none", remedy="write %record start first")
    return extension.recording


def _told(recording: Recording) -> str:
    minutes = (time.monotonic_ns() - recording.started_ns) / 60e9
    parts = [
        f"{recording.steps.count} cells in {minutes:.0f} min",
        f"session {recording.id}",
        f"in {recording.path}",
    ]
    if recording.troubles:
        parts.append(f"INCOMPLETE: {recording.troubles[0]}")
    return ", ".join(parts)


_DONE: dict[str, Callable[[Extension, str], None]] = {
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "status": _status,
    "attach": _attach,
}
