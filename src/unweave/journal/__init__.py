"""The research journal: an append-only, hash-chained log of what was asked, predicted, run and found."""

from unweave.journal.anchors import Anchor, anchor_in_git, from_git, read_anchors
from unweave.journal.blobs import Blob
from unweave.journal.entries import Entry, Head
from unweave.journal.errors import JournalDamaged, JournalError, JournalFull, JournalLocked, JournalReadOnly
from unweave.journal.locate import locate
from unweave.journal.purge import Purged, purge, scrub
from unweave.journal.records import (
    Adoption,
    Comment,
    Evidence,
    Experiment,
    Hypothesis,
    Judgement,
    Note,
    Outcome,
    Prediction,
    Question,
    Record,
    Resolved,
    SurfaceItem,
    probability_of,
)
from unweave.journal.store import Journal
from unweave.journal.verify import Finding, Verification, verify

__all__ = [
    "Adoption",
    "Anchor",
    "Blob",
    "Comment",
    "Entry",
    "Evidence",
    "Experiment",
    "Finding",
    "Head",
    "Hypothesis",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalReadOnly",
    "Judgement",
    "Note",
    "Outcome",
    "Prediction",
    "Purged",
    "Question",
    "Record",
    "Resolved",
    "SurfaceItem",
    "Verification",
    "anchor_in_git",
    "from_git",
    "locate",
    "probability_of",
    "purge",
    "read_anchors",
    "scrub",
    "verify",
]
