"""A purge leaves a tombstone and nothing else: every byte of every file is looked through."""

from __future__ import annotations

from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import Journal, Note, purge, scrub, verify
from unweave.journal.purge import is_pending

SECRET = "correcthorsebatterystaple"


def files_with(folder: Path, secret: str = SECRET) -> list[str]:
    """The files that hold a secret, in the encodings that SQLite could keep it in."""
    wanted = (secret.encode(), secret.encode("utf-16-le"), secret.encode("utf-16-be"))
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(w in path.read_bytes() for w in wanted)
    )


def filled(journal: Journal) -> list[str]:
    """A journal with the secret in a body, the index, a blob, and on pages that were since rewritten."""
    for number in range(40):
        journal.append("output", {"text": f"before {number} " * 40}, durable=False)
    blob = journal.blobs.put((f"export KEY={SECRET}\n" * 5000).encode(), "text/plain")
    ids = [
        journal.add(Note(f"the password is {SECRET}")).id,
        journal.append("output", {"data": {"text/plain": blob.to_body()}}).id,
    ]
    for number in range(40):
        journal.append("output", {"text": f"after {number} " * 40}, durable=False)
    return ids


@pytest.mark.parametrize("safe", [False, True], ids=["write-ahead log", "safe mode"])
def test_nothing_of_it_stays(tmp_path: Path, safe: bool):
    with Journal.open(tmp_path / "journal.db", create=True, safe=safe) as journal:
        ids = filled(journal)
        journal.rebuild()  # leaves the old index on free pages
        assert files_with(tmp_path)
        assert len(journal.search(SECRET)) == 2
        purged = purge(journal, ids, "a password")
        assert purged.warning == ""
        assert len(purged.blobs) == 1
        assert files_with(tmp_path) == []
        assert journal.search(SECRET) == []
        assert journal.search("before")
        checked = verify(journal)
        assert checked.ok
        assert checked.purged == 2
        gone = journal.entry(ids[0])
        assert gone.purged
        assert (gone.seq, gone.kind) == (41, "note")
        assert [entry.body for entry in journal.entries("purge")] == [{"reason": "a password"}] * 2
    assert files_with(tmp_path) == []


def test_the_usual_mistake_leaves_it_in_the_file(tmp_path: Path):
    """Deleting the row alone is what one would write first."""
    with Journal.open(tmp_path / "journal.db", create=True) as journal:
        note = journal.add(Note(f"the password is {SECRET}"))
        with journal.transaction() as connection:
            journal.append("purge", {"reason": "x"}, about=note.id)
            connection.execute("DELETE FROM bodies WHERE seq = 1")
        assert files_with(tmp_path)


def test_a_blob_that_another_entry_names_stays_and_is_told(journal: Journal):
    blob = journal.blobs.put(b"shared")
    first, second = (journal.append("output", {"data": blob.to_body()}) for _ in range(2))
    purged = purge(journal, [first.id], "x")
    assert (purged.blobs, purged.shared) == ((), (second.seq,))
    assert journal.blobs.get(blob.sha256) == b"shared"
    assert purge(journal, [second.id], "x").blobs == (blob.sha256,)
    assert [*journal.blobs] == []


def test_a_reader_in_the_way_is_told_and_the_cleaning_finished_later(tmp_path: Path):
    path = tmp_path / "journal.db"
    with Journal.open(path, create=True, busy_s=0.05) as journal:
        note = journal.add(Note(SECRET))
        with Journal.open(path, read_only=True) as reader:
            reader.connection.execute("BEGIN")
            reader.connection.execute("SELECT * FROM entries").fetchone()
            purged = purge(journal, [note.id], "x")
            assert "unweave journal purge --finish" in purged.warning
            assert is_pending(journal)
            assert "A purge has not finished" in verify(journal).notes[0]
        assert files_with(tmp_path)
        scrub(journal)
        assert not is_pending(journal)
        assert files_with(tmp_path) == []


def test_copies_from_before_a_migration_go_too(journal: Journal):
    note = journal.add(Note(SECRET))
    copy = journal.path.with_name("journal.db.v1-backup")
    copy.write_bytes(b"an old copy")
    assert purge(journal, [note.id], "x").backups == (copy.name,)
    assert not copy.exists()


def test_the_hash_that_stays_confirms_no_guess(journal: Journal):
    """The same body twice has two hashes: a salt, which goes with the purge, stands before it."""
    first, second = (journal.add(Note("yes")) for _ in range(2))
    assert first.body_sha256 != second.body_sha256


def test_what_cannot_be_purged_is_refused(journal: Journal):
    note = journal.add(Note("x"))
    for ids, reason, said in (
        ([], "x", "wanted the id of an entry to purge"),
        (["nothing"], "x", "which none has"),
        ([note.id], " ", "wanted a reason, which stays in place of what goes"),
    ):
        with pytest.raises(InputError, match=said):
            purge(journal, ids, reason)
    assert journal.head.seq == 1
    purge(journal, [note.id], "x")
    for seq, said in (("1", "entry 1, purged before"), ("2", "entry 2, of kind purge")):
        with pytest.raises(InputError, match=said):
            purge(journal, [seq], "x")
