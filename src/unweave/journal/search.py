"""Full text over code, outputs and notes: FTS5 where SQLite has it, else a walk through all bodies.

Of what lies in a blob, the head and tail that the body shows are searched.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.entries import Entry

AROUND = 60  # characters on each side of a hit
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What these hold is for machines: identifiers, hashes, pictures.
_SKIPPED = frozenset(("blob", "sha256", "hash", "versions", "seeds", "config", "metadata", "parent_msg_id"))


@dataclass(frozen=True)
class Hit:
    """An entry that was found, and the words around the place."""

    entry: Entry
    around: str


def text_of(body: Any) -> str:
    """The readable text of a body: its strings, HTML without tags, no pictures."""
    return "\n".join(part for part in _strings(body) if part)


def words_of(query: str) -> list[str]:
    """The words of a query; what stands in double quotes is one.

    Raises:
        InputError: if there is none.
    """
    words = [quoted or word for quoted, word in re.findall(r'"([^"]+)"|([^\s"]+)', query)]
    # Signs alone are in no index.
    words = [word for word in words if re.search(r"\w", word)]
    if not words:
        raise InputError(
            wanted="a word to search for", got=repr(query), remedy='write one, for example "induction"'
        )
    return words


def has_fts5(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite can index full text."""
    return bool(connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone())


def create(connection: sqlite3.Connection) -> None:
    """Drop the index and make it empty; without FTS5, do nothing."""
    if has_fts5(connection):
        connection.execute("DROP TABLE IF EXISTS words")
        # The words alone, without the text: the bodies have that.
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text, content='')")
    set_behind(connection, not has_fts5(connection))


def add(connection: sqlite3.Connection, entry: Entry) -> None:
    """Index an entry; without FTS5, note that the index is behind."""
    text = text_of(entry.body)
    if not text:
        return
    if has_fts5(connection):
        clean = text.encode("utf-8", "replace").decode()
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (entry.seq, clean))
    elif not is_behind(connection):
        set_behind(connection, True)


def is_behind(connection: sqlite3.Connection) -> bool:
    """Whether entries were written by an SQLite that could not index them."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'search_behind'").fetchone()
    return bool(row and row[0] == "yes")


def set_behind(connection: sqlite3.Connection, behind: bool) -> None:
    """Remember it."""
    connection.execute(
        "INSERT INTO meta VALUES ('search_behind', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        ("yes" if behind else "no",),
    )


def found(connection: sqlite3.Connection, words: list[str]) -> list[int]:
    """The numbers of the entries that hold all `words`, each as the beginning of a word; best first."""
    query = " ".join('"' + word.replace('"', '""') + '"*' for word in words)
    rows = connection.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank", (query,))
    return [int(row[0]) for row in rows]


def holds(text: str, words: list[str]) -> bool:
    """Whether all `words` stand in a text: the walk's measure, which also finds parts of words."""
    folded = text.casefold()
    return all(word.casefold() in folded for word in words)


def around(text: str, words: list[str]) -> str:
    """The place of the first word that is there as it was asked for, on one line."""
    folded = text.casefold()
    at = next((place for word in words if (place := folded.find(word.casefold())) >= 0), 0)
    begin, end = max(0, at - AROUND), at + AROUND
    cut = " ".join(text[begin:end].split())
    return ("…" if begin else "") + cut + ("…" if end < len(text) else "")


def _strings(value: Any, mime: str = "") -> Iterator[str]:
    if isinstance(value, str):
        text = _TAGS.sub(" ", value) if mime in ("text/html", "image/svg+xml") else value
        yield _COLOURS.sub("", text)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key in _SKIPPED or key.startswith(("image/png", "image/jpeg", "image/gif", "application/")):
                continue
            yield from _strings(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, mime)
