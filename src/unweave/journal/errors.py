"""What goes wrong with the file under a journal, said in one line; nothing that was committed is lost by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class JournalError(RuntimeError):
    """A journal that could not be read or written: what happened, what became of the data, the remedy."""


class JournalLocked(JournalError):
    """Another process held the journal for longer than was waited."""


class JournalFull(JournalError):
    """The disk is full, or a quota or size limit is reached."""


class JournalReadOnly(JournalError):
    """The file, its folder or this opening of it allows no writing."""


class JournalDamaged(JournalError):
    """The file is no journal, or parts of it are damaged."""


@contextmanager
def told(path: Path) -> Generator[None]:
    """Turn an SQLite error in the block into a JournalError that says what to do.

    Raises:
        JournalError: of the kind that fits.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise explained(path, error) from error


def explained(path: Path, error: sqlite3.Error) -> JournalError:
    """The error that tells a reader what `error`, met at the journal in `path`, means."""
    name = getattr(error, "sqlite_errorname", "") or ""
    for prefixes, kind, sentence in _MEANINGS:
        if name.startswith(prefixes):
            return kind(sentence.format(path=path, error=error))
    return JournalError(f"the journal {path} could not be used: {error}; what was committed is still there")


_FULL = (
    "no room left to write the journal {path} ({error}); what was committed is there and this was not written; "
    "free some space, or put the journal on another disk with UNWEAVE_JOURNAL, and do it again"
)
_DAMAGED = (
    "the journal {path} is damaged or is no SQLite file ({error}); nothing was changed; copy it and "
    "the files named {path.name}-wal and {path.name}.blobs away first, then try "
    "`sqlite3 {path.name} .recover` on the copy, or go back to a backup"
)
_READ_ONLY = (
    "the journal {path} can't be written ({error}); nothing was changed; open it without read_only, or give "
    "yourself the right to write the file and its folder"
)
_LOCKED = (
    "the journal {path} is locked by another process ({error}); what was committed is there and this was not "
    "written; wait for that process to finish or end it, and do it again"
)
_CANT_OPEN = (
    "the journal {path} can't be opened ({error}); nothing was changed; look whether the folder is there and may "
    "be read and written"
)
_MEANINGS: tuple[tuple[tuple[str, ...], type[JournalError], str], ...] = (
    (("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"), JournalLocked, _LOCKED),
    (("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_TOOBIG"), JournalFull, _FULL),
    (("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"), JournalReadOnly, _READ_ONLY),
    (("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ"), JournalDamaged, _DAMAGED),
    (("SQLITE_CANTOPEN",), JournalReadOnly, _CANT_OPEN),
)
