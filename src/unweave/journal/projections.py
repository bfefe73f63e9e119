"""Tables made from the entries alone, to find and list without reading every body.

Each is written in the transaction of its entry, can be dropped and made again from the log at any time, and so
never says anything that the log does not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from unweave.journal import search, session_tables
from unweave.journal.blobs import named_in
from unweave.journal.entries import Entry


@dataclass(frozen=True)
class Projection:
    """One of them.

    Args:
        name: for messages.
        create: drops its tables if they are there, and makes them empty.
        add: takes an entry in, also one whose body has been purged (None).
        kinds: of the entries that it wants; None for all.
    """

    name: str
    create: Callable[[sqlite3.Connection], None]
    add: Callable[[sqlite3.Connection, Entry], None]
    kinds: frozenset[str] | None = None


def create_all(connection: sqlite3.Connection) -> None:
    """Drop all projections and make them empty."""
    for projection in PROJECTIONS:
        projection.create(connection)


def project(connection: sqlite3.Connection, entry: Entry) -> None:
    """Take one new entry into all projections."""
    for projection in PROJECTIONS:
        if projection.kinds is None or entry.kind in projection.kinds:
            projection.add(connection, entry)


def rebuild(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Make all projections again from the log, in the transaction that is open."""
    create_all(connection)
    for entry in entries:
        project(connection, entry)


def _create_blob_uses(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS blob_uses")
    connection.execute(
        "CREATE TABLE blob_uses (sha256 TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (sha256, seq)) WITHOUT ROWID"
    )


def _add_blob_uses(connection: sqlite3.Connection, entry: Entry) -> None:
    for sha256 in {*named_in(entry.body)}:
        connection.execute("INSERT INTO blob_uses VALUES (?, ?)", (sha256, entry.seq))


PROJECTIONS: tuple[Projection, ...] = (
    Projection("blob uses", _create_blob_uses, _add_blob_uses),
    Projection("full text", search.create, search.add),
    Projection("sessions", session_tables.create, session_tables.add, session_tables.KINDS),
)
