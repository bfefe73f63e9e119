"""From version to version: all of it or nothing, a copy first, and nothing newer is touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import Journal, JournalError, JournalFull, Note, verify
from unweave.journal.database import choose_mode, connect
from unweave.journal.migrations import MIGRATIONS, VERSION, Migration, migrate
from unweave.journal.rows import read_log


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with Journal.open(path, create=True) as journal:
        for text in "abc":
            journal.add(Note(text))
    return path


def schema(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()
        return [version, *connection.execute("SELECT name, sql FROM sqlite_master ORDER BY 1").fetchall()]


def colour(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE entries ADD COLUMN colour TEXT")


def breaks(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half (done TEXT)")
    raise RuntimeError("power of two expected")


def step(path: Path, *more: Migration) -> Path | None:
    connection, _ = connect(path, choose_mode(path), busy_s=0.05)
    with closing(connection):
        return migrate(path, connection, read_log, (*MIGRATIONS, *more))


def test_numbers_follow_on_each_other():
    assert [migration.to for migration in MIGRATIONS] == list(range(1, VERSION + 1))


def test_a_step_keeps_every_entry_and_a_copy(old: Path):
    before = schema(old)
    backup = step(old, Migration(VERSION + 1, "a colour", colour))
    assert schema(old)[0] == (VERSION + 1,)
    assert backup is not None
    assert backup.name == f"journal.db.v{VERSION}-backup"
    assert schema(backup) == before
    with Journal.open(backup) as copy:
        assert [entry.body for entry in copy.entries()] == [{"text": text} for text in "abc"]
        assert verify(copy).ok
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT count(*), count(colour) FROM entries").fetchone() == (3, 0)


def test_a_step_that_fails_leaves_it_as_it_was(old: Path):
    before = schema(old)
    with pytest.raises(JournalError) as told:
        step(old, Migration(VERSION + 1, "a colour", colour), Migration(VERSION + 2, "halves", breaks))
    assert (
        f"could not be brought to version {VERSION + 2} (halves): power of two expected; it is as it was"
        in str(told.value)
    )
    assert f"a copy of it lies in journal.db.v{VERSION}-backup" in str(told.value)
    assert schema(old) == before
    with Journal.open(old) as journal:
        assert verify(journal).ok
        journal.add(Note("d"))


def test_it_waits_for_no_one_for_ever(old: Path):
    with closing(sqlite3.connect(old)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked by another process"):
            step(old, Migration(VERSION + 1, "a colour", colour))
    assert schema(old)[0] == (VERSION,)


def test_no_room_for_the_copy_leaves_it_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unweave.core.files._flush_file", full)
    with pytest.raises(
        JournalFull, match=r"no copy of the journal .* could be made .*; it is as it was; free some space"
    ):
        step(old, Migration(VERSION + 1, "a colour", colour))
    assert schema(old)[0] == (VERSION,)
    assert not [*old.parent.glob("*-backup*")]


def test_a_newer_journal_is_refused_untouched(old: Path):
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = old.read_bytes()
    for read_only in (False, True):
        with pytest.raises(InputError) as told:
            Journal.open(old, read_only=read_only)
        assert f"wanted a journal of version {VERSION} or older" in str(told.value)
        assert (
            "got version 99, written by a newer unweave; upgrade unweave; the journal was not touched"
            in str(told.value)
        )
    assert old.read_bytes() == before


def test_an_older_journal_is_not_read_half_understood(old: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("unweave.journal.store.VERSION", VERSION + 1)
    with pytest.raises(InputError, match="an older one; open it once to write, which brings it up to date"):
        Journal.open(old, read_only=True)
