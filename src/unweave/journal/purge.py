"""Taking out what should never have been written, so that nothing of it stays in the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unweave.core.errors import InputError
from unweave.journal.entries import Entry
from unweave.journal.errors import JournalError, JournalLocked
from unweave.journal.migrations import backups
from unweave.journal.store import Journal


@dataclass(frozen=True)
class Purged:
    """What a purge did.

    Args:
        tombstones: the entries that say so, one for each that was purged.
        blobs: the hashes of the blobs that were deleted with them.
        shared: numbers of other entries that name one of their blobs; such blobs stay.
        backups: names of copies from before a migration that were deleted, since they held it too.
        warning: what is left to do, if anything.
    """

    tombstones: tuple[Entry, ...]
    blobs: tuple[str, ...]
    shared: tuple[int, ...]
    backups: tuple[str, ...]
    warning: str = ""


def purge(journal: Journal, ids: Iterable[str], reason: str) -> Purged:
    """Remove the bodies of entries, and their blobs, from the journal, its index, its log and its free pages.

    What stays of each is its number, id, kind, session, what it was about, its time, and a salted hash which
    confirms no guess; and one new entry, the tombstone, that gives `reason`. The chain still verifies.
    Not reached are copies that others made: exports, backups, snapshots of the disk.

    Args:
        journal: open to write.
        ids: of the entries.
        reason: in a few words; it stays.

    Raises:
        InputError: for no id, an id that is not there or was purged before, a tombstone, or no reason.
        JournalError: if it can't be written; nothing is purged then.
    """
    chosen = _chosen(journal, ids, reason)
    numbers = [entry.seq for entry in chosen]
    with journal.transaction() as connection:
        connection.execute("PRAGMA secure_delete=ON")
        marks = ", ".join("?" * len(numbers))
        blobs = {
            str(row[0])
            for row in connection.execute(
                f"SELECT DISTINCT sha256 FROM blob_uses WHERE seq IN ({marks})", numbers
            )
        }
        kept = connection.execute(
            f"SELECT sha256, seq FROM blob_uses WHERE seq NOT IN ({marks}) ORDER BY seq", numbers
        ).fetchall()
        shared = [(sha256, int(seq)) for sha256, seq in kept if sha256 in blobs]
        tombstones = [journal.append("purge", {"reason": reason}, about=entry.id) for entry in chosen]
        connection.execute(f"DELETE FROM bodies WHERE seq IN ({marks})", numbers)
        journal.rebuild()
        gone = sorted(blobs - {sha256 for sha256, _ in shared})
        _set_pending(journal, [*gone, *pending(journal)])
    return Purged(
        tuple(tombstones),
        tuple(gone),
        tuple(sorted({seq for _, seq in shared})),
        tuple(backup.name for backup in backups(journal.path)),
        _scrubbed(journal),
    )


def scrub(journal: Journal) -> None:
    """Finish a purge: delete its blobs and old copies, write the file anew without its free pages, empty its log.

    Raises:
        JournalError: if another process is using it, or there is no room for a second copy.
    """
    with journal.reading() as connection:
        named = frozenset(str(row[0]) for row in connection.execute("SELECT sha256 FROM blob_uses"))
    for sha256 in pending(journal):
        if sha256 not in named:
            journal.blobs.remove(sha256)
    for backup in backups(journal.path):
        backup.unlink(missing_ok=True)
    journal.blobs.sweep(named)
    with journal.reading() as connection:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("VACUUM")
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] if journal.mode.wal else 0
    if busy:
        raise JournalLocked(
            "another process is reading the journal, so that its write-ahead log could not be emptied"
        )
    with journal.transaction() as connection:
        connection.execute("DELETE FROM meta WHERE name = 'purge_pending'")


def is_pending(journal: Journal) -> bool:
    """Whether a purge could not finish its cleaning."""
    with journal.reading() as connection:
        return bool(connection.execute("SELECT 1 FROM meta WHERE name = 'purge_pending'").fetchone())


def pending(journal: Journal) -> list[str]:
    """The hashes of blobs that a purge has still to delete."""
    with journal.reading() as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'purge_pending'").fetchone()
    return str(row[0]).split() if row else []


def _scrubbed(journal: Journal) -> str:
    try:
        scrub(journal)
        return ""
    except JournalError as error:
        return (
            f"It is out of the journal, but traces may be left in free pages of the file: {error}. "
            "End what else has it open, and run `unweave journal purge --finish`."
        )


def _set_pending(journal: Journal, blobs: Iterable[str]) -> None:
    journal.connection.execute("INSERT OR REPLACE INTO meta VALUES ('purge_pending', ?)", (" ".join(blobs),))


def _chosen(journal: Journal, ids: Iterable[str], reason: str) -> list[Entry]:
    if not reason.strip():
        raise InputError(
            wanted="a reason, which stays in place of what goes",
            got="none",
            remedy='write one, as "a password"',
        )
    chosen = [journal.entry(name) for name in dict.fromkeys(ids)]
    if not chosen:
        raise InputError(
            wanted="the id of an entry to purge", got="none", remedy="find it with `unweave journal search`"
        )
    for entry in chosen:
        if entry.purged or entry.kind in ("purge", "anchor"):
            raise InputError(
                wanted="an entry whose body can be purged",
                got=f"entry {entry.seq}, {'purged before' if entry.purged else f'of kind {entry.kind}'}",
                remedy="leave it out",
            )
    return chosen
