"""The journal: an append-only log of entries in one SQLite file, with blobs beside it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from unweave.core.errors import InputError
from unweave.journal import rules, search
from unweave.journal.blobs import Blobs
from unweave.journal.database import BUSY_S, Mode, choose_mode, connect, connect_to_read
from unweave.journal.entries import (
    GENESIS,
    Entry,
    Head,
    canonical,
    chained,
    fresh_id,
    now,
    require_body,
    salted,
)
from unweave.journal.errors import JournalReadOnly, told
from unweave.journal.kinds import require_kind
from unweave.journal.locate import locate
from unweave.journal.migrations import VERSION, migrate, require_known
from unweave.journal.projections import project, rebuild
from unweave.journal.records import Record
from unweave.journal.rows import page, parsed, read_log, row_of

PAGE = 256  # entries read at once: a long walk holds nobody up


class Journal:
    """An open journal; `Journal.open` opens one, and it closes itself as a context manager.

    Threads may share it. Processes may write to one file, each with a Journal of its own; in a forked child
    it opens the file anew by itself.

    Args:
        path: its file.
        mode: how the file is kept on its disk.
        read_only: whether every write is refused.
        busy_s: seconds to wait for another process that writes.
        backup: the copy that was made of it before it was brought to this release's version.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, mode: Mode, *, read_only: bool, busy_s: float
    ) -> None:
        self.path, self.mode, self.read_only, self.busy_s = path, mode, read_only, busy_s
        self.backup: Path | None = None
        self.blobs = Blobs(path.with_name(path.name + ".blobs"), read_only=read_only)
        self._lock, self._depth, self._durable = threading.RLock(), 0, True
        self._connection: sqlite3.Connection | None = connection
        self._process, self._left_behind = os.getpid(), list[sqlite3.Connection]()

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        safe: bool | None = None,
        busy_s: float = BUSY_S,
    ) -> Journal:
        """Open the journal in `path`, or the one that `locate()` finds.

        Args:
            path: the file, or the folder of a `journal.db`.
            create: make it where there is none.
            read_only: refuse to write; works on a disk that can't be written.
            safe: a rollback journal in place of a write-ahead log; by default on network file systems.
            busy_s: seconds to wait for another process that writes.

        Raises:
            InputError: if it is not there, is no journal, or was written by a newer unweave.
            JournalError: if it is locked, damaged, or can't be written.
        """
        file = locate(path)
        _require_place(file, create and not read_only)
        if read_only:
            journal = cls(
                file,
                connect_to_read(file, busy_s=busy_s),
                Mode(True, "read only"),
                read_only=True,
                busy_s=busy_s,
            )
            with journal._closed_on_error():
                _require_current(file, require_known(file, journal.connection))
            return journal
        connection, mode = connect(file, choose_mode(file, safe), busy_s=busy_s)
        journal = cls(file, connection, mode, read_only=False, busy_s=busy_s)
        with journal._closed_on_error():
            journal.backup = migrate(file, connection, read_log)
            journal._catch_up()
        return journal

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this process: for this room's own modules, under `reading()` or `transaction()`."""
        if self._connection is None:
            raise InputError(
                wanted="an open journal", got=f"{self.path}, closed", remedy="open it again with Journal.open"
            )
        if os.getpid() != self._process:
            # A forked child must not touch its parent's connection, and not even close it.
            self._left_behind.append(self._connection)
            self._lock, self._depth, self._process = threading.RLock(), 0, os.getpid()
            self._durable = True
            if self.read_only:
                self._connection = connect_to_read(self.path, busy_s=self.busy_s)
            else:
                self._connection, _ = connect(self.path, self.mode, busy_s=self.busy_s)
        return self._connection

    @property
    def head(self) -> Head:
        """Where the chain ends; (0, 64 zeros) while it is empty."""
        with self.reading() as connection:
            row = connection.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        return Head(int(row[0]), str(row[1])) if row else Head(0, GENESIS)

    def append(
        self,
        kind: str,
        body: Mapping[str, Any],
        *,
        session: str | None = None,
        about: str | None = None,
        durable: bool = True,
    ) -> Entry:
        """Write one entry; when this returns, it is committed (at the end of an open `transaction()`).

        Args:
            kind: one of `kinds.KINDS`.
            body: JSON values.
            session: the id of the session that it belongs to.
            about: the id of the entry that it is about.
            durable: flush it to the disk, so that a power cut can't take it. Without, a killed process still
                loses nothing, but a power cut may take what was written since the last durable entry.

        Raises:
            InputError: for a kind, a body or an `about` that can't be.
            JournalError: if it can't be written; nothing of it is then.
        """
        text = canonical(require_body(body))
        require_kind(kind)
        with self.transaction(durable=durable) as connection:
            rules.check(self, kind, body, about)
            last = self.head
            salt = os.urandom(16)
            seq, new, time, digest = last.seq + 1, fresh_id(), now(), salted(salt, text)
            hashed = chained(seq, new, kind, session, about, time, digest, last.hash)
            entry = Entry(seq, new, kind, session, about, time, parsed(text), digest, last.hash, hashed)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row_of(entry))
            connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", (seq, salt, text))
            project(connection, entry)
        return entry

    def add(self, record: Record, *, session: str | None = None, about: str | None = None) -> Entry:
        """Write one record (`records`), as `append` does.

        Raises:
            InputError: for what it can't be about, as an outcome of no prediction, or a second outcome.
            JournalError: if it can't be written.
        """
        return self.append(record.kind, record.to_body(), session=session, about=about)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Generator[sqlite3.Connection]:
        """What is appended in the block is committed at its end, all of it or, on an error, none.

        Other threads wait; other processes that write wait, and readers see it at the end. A block inside another is part
        of it.

        Raises:
            JournalError: if it can't be committed.
        """
        if self.read_only:
            raise JournalReadOnly(
                f"the journal {self.path} was opened to read; open it without read_only to write"
            )
        connection = self.connection
        with self._lock:
            if self._depth:
                yield connection
                return
            with told(self.path):
                if durable != self._durable and self.mode.wal:
                    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                connection.execute("BEGIN IMMEDIATE")
            self._depth, process = 1, os.getpid()
            try:
                with told(self.path):
                    yield connection
                    if durable:
                        self.blobs.flush()
                    # A child that was forked in the block leaves the transaction to its parent.
                    if os.getpid() == process:
                        connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction and os.getpid() == process:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection for a few reads, with other threads kept out and SQLite's errors explained."""
        connection = self.connection
        with self._lock, told(self.path):
            yield connection

    def entries(
        self,
        kind: str | Collection[str] | None = None,
        session: str | None = None,
        about: str | None = None,
        after: int = 0,
    ) -> Iterator[Entry]:
        """The entries of a kind (or of several), of a session, about an entry, after a number; in order.

        What is appended while one walks is walked too.
        """
        kinds = None if kind is None else [kind] if isinstance(kind, str) else [*kind]
        for name in kinds or ():
            require_kind(name)
        while True:
            with self.reading() as connection:
                rows = page(connection, kinds, session, about, after, PAGE)
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1].seq

    def entry(self, id: str) -> Entry:
        """The entry of this id; or of a number, as "#12" or "12"; or whose id alone begins or ends so.

        Raises:
            InputError: if there is none, or several.
        """
        number = id.removeprefix("#")
        with self.reading() as connection:
            if number.isdecimal() and len(number) < 14:
                found = page(connection, None, None, None, int(number) - 1, 1)
                found = [entry for entry in found if entry.seq == int(number)]
            else:
                found = page(connection, None, None, None, 0, 2, id=id)
                if not found and len(id) >= 4 and id.isalnum():
                    found = page(connection, None, None, None, 0, 2, id=id, part=True)
        if len(found) == 1:
            return found[0]
        raise InputError(
            wanted=f"the id of one entry in {self.path.name}",
            got=f"{id!r}, which {'none has' if not found else 'several have'}",
            remedy="look ids up with `unweave journal list` or `search`",
        )

    def search(self, query: str, *, limit: int = 50) -> list[search.Hit]:
        """The entries that hold all words of `query`, best first; in quotes, words stand together.

        Code, outputs, notes and all other text is searched; of outputs above 64 KiB the head and tail. Without
        FTS5 in this SQLite the whole log is walked, latest first, which takes longer and finds parts of words too.

        Raises:
            InputError: for a query without a word.
        """
        words = search.words_of(query)
        with self.reading() as connection:
            indexed = search.has_fts5(connection) and not search.is_behind(connection)
            numbers = search.found(connection, words)[:limit] if indexed else []
        if indexed:
            found = [self.entry(str(number)) for number in numbers]
        else:
            found = [e for e in self.entries() if e.body and search.holds(search.text_of(e.body), words)]
            found = found[::-1][:limit]
        return [search.Hit(entry, search.around(search.text_of(entry.body), words)) for entry in found]

    def rebuild(self) -> None:
        """Make the tables for listing and searching again from the log."""
        with self.transaction() as connection:
            rebuild(connection, read_log(connection))

    def close(self) -> None:
        """Close the file; what was committed stays."""
        if self._connection is not None and os.getpid() == self._process:
            with self._lock:
                self._connection.close()
        self._connection = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._connection is None:
            return f"Journal({str(self.path)!r}, closed)"
        return f"Journal({str(self.path)!r}, {self.head.seq} entries, {self.mode})"

    @contextmanager
    def _closed_on_error(self) -> Generator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _catch_up(self) -> None:
        """Index what an SQLite without FTS5 has written."""
        with self.reading() as connection:
            due = search.is_behind(connection) and search.has_fts5(connection)
        if due:
            self.rebuild()


def _require_place(file: Path, create: bool) -> None:
    if file.is_dir():
        raise InputError(wanted="the file of a journal", got=f"{file}, a folder", remedy="name a file in it")
    if not file.parent.is_dir():
        raise InputError(
            wanted=f"a folder for the journal {file.name}",
            got=f"{file.parent}, which is not there",
            remedy="make that folder, or name another file",
        )
    if not (create or file.exists()):
        raise InputError(
            wanted="a journal",
            got=f"{file}, which is not there",
            remedy="start a recording, open it with create=True, or `unweave journal add … --create`; "
            "--journal and UNWEAVE_JOURNAL name another file",
        )


def _require_current(file: Path, version: int) -> None:
    if version < VERSION:
        raise InputError(
            wanted=f"a journal of version {VERSION} in {file}, to read it only",
            got=f"version {version}, an older one" if version else "an empty file",
            remedy="open it once to write, which brings it up to date and keeps a copy of the old one",
        )
