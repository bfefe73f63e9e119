"""The research journal: an append-only, hash-chained log of what was asked, predicted, run and found."""

from unweave.journal.blobs import Blob
from unweave.journal.entries import Entry, Head
from unweave.journal.errors import JournalDamaged, JournalError, JournalFull, JournalLocked, JournalReadOnly
from unweave.journal.locate import locate
from unweave.journal.store import Journal

__all__ = [
    "Blob",
    "Entry",
    "Head",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalReadOnly",
    "locate",
]
