"""A journal that is locked, damaged, full or not to be written: a clear sentence, and nothing lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import (
    Journal,
    JournalDamaged,
    JournalFull,
    JournalLocked,
    JournalReadOnly,
    Note,
    verify,
)


def test_a_locked_journal_says_so_and_goes_on_after(tmp_path: Path):
    path = tmp_path / "journal.db"
    with Journal.open(path, create=True, busy_s=0.05) as journal, closing(sqlite3.connect(path)) as other:
        journal.add(Note("a"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLocked) as told:
            journal.add(Note("b"))
        assert "is locked by another process" in str(told.value)
        assert "this was not written; wait for that process to finish or end it, and do it again" in str(
            told.value
        )
        assert [entry.seq for entry in journal.entries()] == [1]  # reading goes on
        other.rollback()
        journal.add(Note("b"))
        assert verify(journal).ok


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to look at" * 100, b"SQLite format 3\0" + b"\1" * 5000]
)
def test_what_is_no_database_is_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(JournalDamaged, match=r"is damaged or is no SQLite file .*; nothing was changed"):
            Journal.open(path, read_only=read_only)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path):
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(InputError, match="got an SQLite database of another program; name another file"):
        Journal.open(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path):
    with Journal.open(tmp_path / "journal.db", create=True) as journal:
        journal.add(Note("a"))
        pages = journal.connection.execute("PRAGMA page_count").fetchone()[0]
        journal.connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(JournalFull) as told:
            journal.add(Note("b" * 100_000))
        assert "no room left to write the journal" in str(told.value)
        assert "what was committed is there and this was not written; free some space" in str(told.value)
        journal.connection.execute(f"PRAGMA max_page_count = {pages + 4000}")
        assert verify(journal).ok
        assert journal.head.seq == 1
        journal.add(Note("b" * 100_000))
        assert journal.head.seq == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs resource limits")
def test_a_file_that_may_not_grow(tmp_path: Path):
    """The operating system itself refuses the write."""
    script = """if True:
        import resource, sys
        from unweave.journal import Journal, JournalFull, Note, verify
        with Journal.open(sys.argv[1], create=True) as journal:
            journal.add(Note("a"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
            said = []
            for write in (lambda: journal.add(Note("b" * 400_000)), lambda: journal.blobs.put(b"b" * 400_000)):
                try:
                    write()
                except JournalFull as error:
                    said.append(str(error))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            journal.add(Note("c"))
            assert len(said) == 2, said
            assert verify(journal).ok and journal.head.seq == 2
    """
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "journal.db"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shut() -> Iterator[Path]:
    """A folder that another user may enter, for what root may do anyway."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(path: Path, *, folder_mode: int) -> str:
    """What a user without the right to write is told on opening to write, and on opening to read."""
    script = """if True:
        import os, sys
        from pathlib import Path
        from unweave.journal import Journal, JournalError
        if os.geteuid() == 0:
            os.seteuid(65534)
        for read_only in (False, True):
            try:
                with Journal.open(Path(sys.argv[1]), read_only=read_only) as journal:
                    print([entry.body["text"] for entry in journal.entries()])
            except JournalError as error:
                print(type(error).__name__, error)
    """
    path.chmod(0o444)
    path.parent.chmod(folder_mode)
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_a_journal_on_a_disk_that_cannot_be_written_is_read(shut: Path):
    with Journal.open(shut / "journal.db", create=True) as journal:
        journal.add(Note("a"))
    to_write, to_read = as_nobody(shut / "journal.db", folder_mode=0o555).splitlines()
    assert to_write.startswith("JournalReadOnly the journal")
    assert "open it with read_only, or give yourself the right" in to_write
    assert to_read == "['a']"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_one_that_was_left_in_the_middle_there_is_not_read_without_its_end(shut: Path):
    script = "import os, sys; from unweave.journal import Journal, Note\njournal = Journal.open(sys.argv[1], create=True)\n"
    script += "journal.add(Note('a')); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, shut / "journal.db"], check=True)
    (shut / "journal.db-shm").unlink()
    (shut / "journal.db-wal").chmod(0o444)
    to_read = as_nobody(shut / "journal.db", folder_mode=0o555).splitlines()[1]
    assert "reading alone can't join journal.db-wal to it; open it once to write" in to_read


def test_a_transaction_that_was_cut_off_in_safe_mode_is_never_read_by_half(tmp_path: Path):
    script = """if True:
        import os, sys
        from unweave.journal import Journal, Note
        journal = Journal.open(sys.argv[1], create=True, safe=True)
        journal.add(Note("a"))
        journal.connection.execute("PRAGMA cache_size = 10")  # so that pages reach the file before the end
        with journal.transaction():
            for number in range(200):
                journal.add(Note(f"{number} " * 500))
            os._exit(0)
    """
    path = tmp_path / "journal.db"
    subprocess.run([sys.executable, "-c", script, path], check=True)
    assert path.with_name("journal.db-journal").stat().st_size > 0
    with pytest.raises(
        JournalReadOnly, match=r"reading alone can't join journal\.db-journal to it; open it once to write"
    ):
        Journal.open(path, read_only=True)
    with Journal.open(path, safe=True) as journal:
        assert [entry.body for entry in journal.entries()] == [{"text": "a"}]
        assert verify(journal).ok


def test_a_torn_log_loses_its_end_alone(tmp_path: Path):
    """What a power cut may leave: a write-ahead log that breaks off somewhere, or holds rubbish from there on."""
    path, draw = tmp_path / "journal.db", random.Random(0)
    journal = Journal.open(path, create=True)
    for number in range(30):
        journal.append("output", {"number": number}, durable=False)
    log = path.with_name("journal.db-wal").read_bytes()
    assert log
    seen = set()
    for case in range(8):
        copy = tmp_path / f"copy-{case}.db"
        shutil.copy(path, copy)
        cut = draw.randrange(len(log))
        rest = draw.randbytes(len(log) - cut) if case % 2 else b""
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut] + rest)
        try:
            with Journal.open(copy, create=True) as torn:
                assert verify(torn).ok
                numbers = [entry.body["number"] for entry in torn.entries()]  # type: ignore[index]
                assert numbers == list(range(len(numbers)))
                torn.append("output", {"number": len(numbers)})
                seen.add(len(numbers))
        finally:
            copy.unlink()
    journal.close()
    assert len(seen) > 3  # it did break off in different places


WRITER = """if True:
    import sys
    from unweave.journal import Journal, Note, Outcome, Prediction
    number = 0
    with Journal.open(sys.argv[1], create=True) as journal:
        while True:
            with journal.transaction(durable=number % 7 == 0):
                blob = journal.blobs.put(b"%d" % number * 20_000)
                step = journal.append("step_started", {"n": number, "code": "f()"}, session="s")
                last = journal.append("output", {"data": blob.to_body()}, session="s", about=step.id)
            print(last.seq, flush=True)
            prediction = journal.add(Prediction("x", 0.5))
            last = journal.add(Outcome("yes"), about=prediction.id)
            print(last.seq, flush=True)
            number += 1
"""


def kill_at_random(folder: Path, times: int, draw: random.Random) -> int:
    """Kill a writer again and again; how many entries there are in the end, all of them whole."""
    path, committed = folder / "journal.db", 0
    for _ in range(times):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        said = [writer.stdout.readline()]
        time.sleep(draw.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        said += writer.communicate()[0].splitlines(keepends=True)
        assert writer.returncode == -signal.SIGKILL
        committed = max(int(line) for line in said if line.endswith("\n"))
        with Journal.open(path) as journal:
            checked = verify(journal)
            assert checked.ok, checked.findings
            assert checked.head.seq >= committed
            steps = [*journal.entries("step_started")]
            assert len(steps) == len([*journal.entries("output")])  # a transaction is there whole
    return committed


def test_a_killed_writer_loses_nothing_that_it_committed(tmp_path: Path):
    assert kill_at_random(tmp_path, 5, random.Random(1)) > 5


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path):
    kill_at_random(tmp_path, 200, random.Random())
