"""Entries as rows of the database, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any, cast

from unweave.journal.entries import Entry
from unweave.journal.errors import JournalDamaged

_FIELDS = (
    *("seq", "id", "kind", "session", "about", "time", "body"),
    *("body_sha256", "previous", "hash"),
)
_COLUMNS = (
    "e.seq, e.id, e.kind, e.session, e.about, e.time, b.body, e.body_sha256, e.previous, e.hash "
    "FROM entries AS e LEFT JOIN bodies AS b ON b.seq = e.seq"
)


def row_of(entry: Entry) -> tuple[Any, ...]:
    """The entry as a row of `entries`."""
    return (
        *(entry.seq, entry.id, entry.kind, entry.session, entry.about, entry.time),
        *(entry.body_sha256, entry.previous, entry.hash),
    )


def entry_of(row: tuple[Any, ...]) -> Entry:
    """A row of `_COLUMNS` as an entry."""
    fields: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    stored: str | None = fields.pop("body")
    return Entry(**fields, body=None if stored is None else parsed(stored))


def parsed(text: str) -> dict[str, Any]:
    """A stored body as JSON values.

    Raises:
        JournalDamaged: if it is none.
    """
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise JournalDamaged(
            f"an entry's body is no JSON ({error}); someone changed the file; `unweave journal verify` says which"
        ) from error
    if not isinstance(value, dict):
        raise JournalDamaged("an entry's body is no JSON object; `unweave journal verify` says which")
    return cast(dict[str, Any], value)


def page(
    connection: sqlite3.Connection,
    kinds: list[str] | None,
    session: str | None,
    about: str | None,
    after: int,
    limit: int,
    *,
    id: str | None = None,
    part: bool = False,
) -> list[Entry]:
    """The next entries after a number that fit."""
    wanted, values = ["e.seq > ?"], list[Any]([after])
    if kinds is not None:
        wanted.append(f"e.kind IN ({', '.join('?' * len(kinds))})")
        values += kinds
    for column, value in (("session", session), ("about", about)):
        if value is not None:
            wanted.append(f"e.{column} = ?")
            values.append(value)
    if id is not None and part:
        wanted.append("(e.id LIKE ? OR e.id LIKE ?)")
        values += [f"{id}%", f"%{id}"]
    elif id is not None:
        wanted.append("e.id = ?")
        values.append(id)
    query = f"SELECT {_COLUMNS} WHERE {' AND '.join(wanted)} ORDER BY e.seq LIMIT ?"
    return [entry_of(row) for row in connection.execute(query, (*values, limit))]


def read_log(connection: sqlite3.Connection) -> Iterator[Entry]:
    """The whole log in order, in the transaction that is open."""
    for row in connection.execute(f"SELECT {_COLUMNS} ORDER BY e.seq"):
        yield entry_of(row)
