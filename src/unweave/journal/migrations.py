"""The versions of a journal's tables, and the steps from each to the next.

A step is one function, run in one transaction with all others that are due: where one fails, the file stays what it
was. A copy is made beside it first, `journal.db.v1-backup`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from unweave.core.errors import InputError
from unweave.core.files import file_atomic
from unweave.journal.database import APPLICATION, require_ours
from unweave.journal.entries import Entry
from unweave.journal.errors import JournalError, JournalFull, told
from unweave.journal.projections import rebuild


@dataclass(frozen=True)
class Migration:
    """The step to version `to`.

    Projections need none of their own lines: they are made again after the last step.
    """

    to: int
    what: str
    apply: Callable[[sqlite3.Connection], None]


def _log(connection: sqlite3.Connection) -> None:
    for statement in _LOG:
        connection.execute(statement)


# No entry is ever changed or deleted. A body may go, but only once an entry says that it was purged.
_LOG = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        session TEXT,
        about TEXT,
        time TEXT NOT NULL,
        body_sha256 TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    )""",
    "CREATE INDEX entries_by_session ON entries (session, seq) WHERE session IS NOT NULL",
    "CREATE INDEX entries_by_about ON entries (about, seq) WHERE about IS NOT NULL",
    "CREATE INDEX entries_by_kind ON entries (kind, seq)",
    "CREATE TABLE bodies (seq INTEGER PRIMARY KEY REFERENCES entries (seq), salt BLOB NOT NULL, body TEXT NOT NULL)",
    """CREATE TRIGGER entries_stay BEFORE DELETE ON entries
        BEGIN SELECT RAISE(ABORT, 'entries of a journal are never deleted'); END""",
    """CREATE TRIGGER entries_are_locked BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'entries of a journal are never changed'); END""",
    """CREATE TRIGGER bodies_are_locked BEFORE UPDATE ON bodies
        BEGIN SELECT RAISE(ABORT, 'bodies of entries are never changed'); END""",
    """CREATE TRIGGER bodies_stay BEFORE DELETE ON bodies
        WHEN NOT EXISTS (
            SELECT 1 FROM entries AS kept JOIN entries AS tombstone ON tombstone.about = kept.id
            WHERE kept.seq = OLD.seq AND tombstone.kind = 'purge')
        BEGIN SELECT RAISE(ABORT, 'a body goes only by a purge'); END""",
)

MIGRATIONS: tuple[Migration, ...] = (Migration(1, "the log", _log),)
VERSION = MIGRATIONS[-1].to


def require_known(path: Path, connection: sqlite3.Connection, version: int | None = None) -> int:
    """The version of an open journal, if this release knows it.

    Raises:
        InputError: if it is newer, or no journal.
    """
    version = VERSION if version is None else version
    found = require_ours(path, connection)
    if found > version:
        raise InputError(
            wanted=f"a journal of version {version} or older in {path}",
            got=f"version {found}, written by a newer unweave",
            remedy="upgrade unweave; the journal was not touched",
        )
    return found


def migrate(
    path: Path,
    connection: sqlite3.Connection,
    read: Callable[[sqlite3.Connection], Iterable[Entry]],
    migrations: tuple[Migration, ...] = MIGRATIONS,
) -> Path | None:
    """Bring an open journal to the newest version; the copy that was made of an older one, if any.

    Args:
        path: the journal's file.
        connection: to it, with no transaction open.
        read: reads the whole log, for the projections.
        migrations: the steps there are.

    Raises:
        InputError: if it is newer than the last step.
        JournalError: if a step fails; the journal is then as it was.
    """
    newest = migrations[-1].to
    found = require_known(path, connection, newest)
    if found == newest:
        return None
    backup = _back_up(path, connection, found) if found else None
    with told(path):
        connection.execute("BEGIN EXCLUSIVE")
    try:
        # Another process may have done it while this one waited.
        found = require_known(path, connection, newest)
        for migration in migrations:
            if migration.to > found:
                _apply(path, connection, migration, backup)
        if found < newest:
            with told(path):
                rebuild(connection, read(connection))
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {newest}")
        with told(path):
            connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return backup


def backups(path: Path) -> list[Path]:
    """The copies that migrations left beside a journal."""
    return sorted(path.parent.glob(f"{path.name}.v*-backup"))


def _apply(path: Path, connection: sqlite3.Connection, migration: Migration, backup: Path | None) -> None:
    try:
        migration.apply(connection)
    except Exception as error:
        kept = f", and a copy of it lies in {backup.name}" if backup else ""
        raise JournalError(
            f"the journal {path} could not be brought to version {migration.to} ({migration.what}): {error}; it is "
            f"as it was{kept}; open it with the release that wrote it, and report this"
        ) from error


def _back_up(path: Path, connection: sqlite3.Connection, version: int) -> Path:
    backup = path.with_name(f"{path.name}.v{version}-backup")
    try:
        with told(path), file_atomic(backup) as part:
            copy = sqlite3.connect(part)
            try:
                connection.backup(copy)
            finally:
                copy.close()
    except OSError as error:
        raise JournalFull(
            f"no copy of the journal {path} could be made before bringing it to a newer version ({error}); it is as "
            "it was; free some space beside it and open it again"
        ) from error
    return backup
