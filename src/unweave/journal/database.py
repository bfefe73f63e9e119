"""The SQLite file under a journal: how it is opened, and what a crash may cost.

On a local disk it keeps a write-ahead log: readers and one writer do not wait for each other, and a process
that is killed loses nothing that it committed. On a network file system, where such a log is not safe, and where
SQLite refuses it, it keeps a rollback journal and flushes at every commit.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from unweave.core.errors import InputError
from unweave.journal.disks import file_system, is_network
from unweave.journal.errors import JournalReadOnly, told

APPLICATION = 0x554E5756  # "UNWV", in the file's header
BUSY_S = 10.0


@dataclass(frozen=True)
class Mode:
    """How the file is kept.

    Args:
        wal: whether it keeps a write-ahead log.
        why: a sentence for the user.
    """

    wal: bool
    why: str

    def __str__(self) -> str:
        return self.why


def choose_mode(path: Path, safe: bool | None = None) -> Mode:
    """A write-ahead log on a local disk, the safe mode on a network one, or as `safe` says."""
    kind = file_system(path.parent)
    if safe is None:
        safe = is_network(kind)
    elif safe:
        return Mode(False, "safe mode, as asked: rollback journal, flushed at every commit")
    if safe:
        return Mode(
            False, f"safe mode, since {kind} is a network file system: flushed at every commit, slower"
        )
    return Mode(True, "write-ahead log on a local disk")


def connect(path: Path, mode: Mode, *, busy_s: float = BUSY_S) -> tuple[sqlite3.Connection, Mode]:
    """A connection that writes, and the mode that the file system really allowed.

    Raises:
        JournalError: if the file is locked, damaged, or may not be written.
    """
    for place in (path, path.parent):
        # SQLite would open the file anyway, and fail at the first write.
        effective = os.access in os.supports_effective_ids
        if place.exists() and not os.access(place, os.W_OK, effective_ids=effective):
            raise JournalReadOnly(
                f"the journal {path} can't be written, for {place} may not be; nothing was changed; open it with "
                "read_only, or give yourself the right to write the file and its folder"
            )
    with told(path):
        connection = _opened(path, "rwc", busy_s)
        try:
            if mode.wal:
                kept = str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
                if kept != "wal":
                    mode = Mode(False, f"safe mode, since no write-ahead log is possible here ({kept})")
            else:
                connection.execute("PRAGMA journal_mode=DELETE").fetchone()
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            connection.close()
            raise
    return connection, mode


def connect_to_read(path: Path, *, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection that never writes, also where the folder is on a disk that can't be written.

    Raises:
        JournalError: if the file is locked, damaged, or can't be read without writing.
    """
    with told(path):
        connection = _opened(path, "ro", busy_s)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            name = getattr(error, "sqlite_errorname", "") or ""
            if not name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
                raise
    for suffix in ("-wal", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists() and log.stat().st_size:
            raise JournalReadOnly(
                f"the journal {path} was left in the middle of its work, and reading alone can't join {log.name} to "
                "it; open it once to write, or, where its folder can't be written, copy both files to one that can "
                "and open the copy"
            )
    with told(path):
        return _opened(path, "ro&immutable=1", busy_s)


def require_ours(path: Path, connection: sqlite3.Connection) -> int:
    """The version of the journal in an open file; 0 for an empty file.

    Raises:
        InputError: if it is a database of another program.
    """
    with told(path):
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION and not (empty and application == 0):
        raise InputError(
            wanted=f"an unweave journal in {path}",
            got="an SQLite database of another program",
            remedy="name another file with --journal or UNWEAVE_JOURNAL",
        )
    return version if application == APPLICATION else 0


def _opened(path: Path, mode: str, busy_s: float) -> sqlite3.Connection:
    # Transactions are begun and ended by hand; a lock of our own keeps threads apart.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
    )
