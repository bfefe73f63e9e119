"""The tables by which sessions and steps are listed without reading what they put out."""

from __future__ import annotations

import sqlite3

from unweave.journal.entries import Entry

KINDS = frozenset(
    (
        *("session_started", "session_paused", "session_resumed", "session_stopped", "session_degraded"),
        *("step_started", "step_ended", "output", "why", "private"),
    )
)

# No text of the user's: that stands in the bodies, where a purge takes it.
_TABLES = (
    "DROP TABLE IF EXISTS sessions",
    "DROP TABLE IF EXISTS steps",
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY, seq INTEGER NOT NULL, started TEXT NOT NULL, state TEXT NOT NULL, ended TEXT,
        last TEXT NOT NULL, degraded INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    """CREATE TABLE steps (
        id TEXT PRIMARY KEY, session TEXT NOT NULL, seq INTEGER NOT NULL, status TEXT, ended INTEGER,
        outputs INTEGER NOT NULL DEFAULT 0, private INTEGER NOT NULL DEFAULT 0, why INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    "CREATE INDEX steps_by_session ON steps (session, seq)",
)


def create(connection: sqlite3.Connection) -> None:
    """Drop the tables and make them empty."""
    for statement in _TABLES:
        connection.execute(statement)


def add(connection: sqlite3.Connection, entry: Entry) -> None:
    """Take one entry in; of a purged one, all but what its body said."""
    if entry.session is None:  # of no session, and so in no list
        return
    body = entry.body or {}
    match entry.kind:
        case "session_started":
            connection.execute(
                "INSERT OR IGNORE INTO sessions (id, seq, started, state, last) VALUES (?, ?, ?, 'recording', ?)",
                (entry.session, entry.seq, entry.time, entry.time),
            )
        case "session_paused" | "session_resumed" | "session_stopped":
            state = {"session_paused": "paused", "session_resumed": "recording"}.get(entry.kind, "stopped")
            connection.execute("UPDATE sessions SET state = ? WHERE id = ?", (state, entry.session))
            if state == "stopped":
                connection.execute("UPDATE sessions SET ended = ? WHERE id = ?", (entry.time, entry.session))
        case "session_degraded":
            connection.execute("UPDATE sessions SET degraded = degraded + 1 WHERE id = ?", (entry.session,))
        case "step_started":
            connection.execute(
                "INSERT INTO steps (id, session, seq) VALUES (?, ?, ?)", (entry.id, entry.session, entry.seq)
            )
        case "step_ended":
            connection.execute(
                "UPDATE steps SET status = ?, ended = ? WHERE id = ?",
                (body.get("status"), entry.seq, entry.about),
            )
        case "output":
            connection.execute("UPDATE steps SET outputs = outputs + 1 WHERE id = ?", (entry.about,))
        case "private":
            connection.execute(
                "UPDATE steps SET private = ? WHERE id = ?", (int(body.get("private", True)), entry.about)
            )
        case "why":
            connection.execute("UPDATE steps SET why = why + 1 WHERE id = ?", (entry.about,))
        case _:
            return
    if entry.kind != "session_started":
        connection.execute("UPDATE sessions SET last = ? WHERE id = ?", (entry.time, entry.session))
