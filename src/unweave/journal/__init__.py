"""The research journal: an append-only, hash-chained log of what was asked, predicted, run and found."""

from unweave.journal.anchors import Anchor, anchor_in_git, from_git, read_anchors
from unweave.journal.audit import Advice, Audit, audit
from unweave.journal.blobs import Blob
from unweave.journal.calibration import Calibration, calibration, wilson
from unweave.journal.comments import adopt, import_comments
from unweave.journal.entries import Entry, Head
from unweave.journal.errors import JournalDamaged, JournalError, JournalFull, JournalLocked, JournalReadOnly
from unweave.journal.ledger import Ledger, ledger
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
    "Advice",
    "Anchor",
    "Audit",
    "Blob",
    "Calibration",
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
    "Ledger",
    "Note",
    "Outcome",
    "Prediction",
    "Purged",
    "Question",
    "Record",
    "Resolved",
    "SurfaceItem",
    "Verification",
    "adopt",
    "anchor_in_git",
    "audit",
    "calibration",
    "from_git",
    "import_comments",
    "ledger",
    "locate",
    "probability_of",
    "purge",
    "read_anchors",
    "scrub",
    "verify",
    "wilson",
]
