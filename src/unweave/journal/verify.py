"""Whether a journal is what was written, and what exactly that proves."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.anchors import Anchor
from unweave.journal.entries import GENESIS, Head, chained, salted
from unweave.journal.errors import JournalError
from unweave.journal.purge import is_pending
from unweave.journal.research import ResearchLog
from unweave.journal.store import Journal

_ROWS = (
    "SELECT e.seq, e.id, e.kind, e.session, e.about, e.time, e.body_sha256, e.previous, e.hash, b.salt, b.body "
    "FROM entries AS e LEFT JOIN bodies AS b ON b.seq = e.seq WHERE e.seq > ? ORDER BY e.seq LIMIT 256"
)


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Args:
        sort: "file", "missing", "order", "changed", "body", "blob", "anchor" or "late".
        seq: the number of the entry, where it is one's.
        text: what.
    """

    sort: str
    seq: int | None
    text: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Args:
        head: where the chain ends now.
        findings: what is not as it was written; empty is good.
        late: predictions that were written after evidence on the same experiment, or on the same hypothesis
            without saying what had been seen. Nothing was changed, but they predict nothing.
        notes: what a reader may want to know besides.
        anchors: what the chain was compared with.
        purged: how many bodies were removed and left a tombstone.
    """

    head: Head
    findings: tuple[Finding, ...]
    late: tuple[Finding, ...]
    notes: tuple[str, ...]
    anchors: tuple[Anchor, ...]
    purged: int

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written, as far as can be told."""
        return not self.findings

    @property
    def proved(self) -> tuple[str, ...]:
        """What the comparison proves, one sentence each."""
        if not self.ok:
            return ()
        said = [
            f"The {self.head.seq} entries are chained without a gap, and each is what its hash says: whoever edited, "
            "removed or reordered one has recomputed all hashes after it."
        ]
        if self.anchors:
            last = max(self.anchors, key=lambda anchor: anchor.head.seq)
            said.append(
                f"Entries 1 to {last.head.seq} are the ones that were there when the head was anchored "
                f"({last.where}): not one was changed, removed or put in since."
            )
        return tuple(said)

    @property
    def not_proved(self) -> tuple[str, ...]:
        """What it can't prove."""
        anchored = max((anchor.head.seq for anchor in self.anchors), default=0)
        said: list[str] = []
        if anchored < self.head.seq or not self.anchors:
            part = f"After entry {anchored}, that" if anchored else "That"
            said.append(
                f"{part} nothing was rewritten or cut off at the end: whoever holds the file can recompute every "
                "hash. Anchor the head (`unweave journal verify --anchor note`), or give it to someone."
            )
        if self.anchors:
            said.append(
                "That the anchor is as old as it says, unless somebody else holds it: its owner can rewrite a git "
                "note or commit that was never pushed."
            )
        said.append("That the times are right: they are this computer's clock's.")
        said.append(
            "That nothing was seen off the record before a prediction, and that everything was recorded."
        )
        return tuple(said)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "ok": self.ok,
            "head": str(self.head),
            "entries": self.head.seq,
            "purged": self.purged,
            "findings": [vars(finding) for finding in self.findings],
            "late_predictions": [vars(finding) for finding in self.late],
            "notes": [*self.notes],
            "anchors": [anchor.to_dict() for anchor in self.anchors],
            "proved": [*self.proved],
            "not_proved": [*self.not_proved],
        }


@dataclass
class _Walk:
    """What is remembered on the way through the log."""

    seq: int = 0
    hash: str = GENESIS
    time: str = ""
    purged: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])
    notes: list[str] = field(default_factory=list[str])
    hashes: dict[int, str] = field(default_factory=dict[int, str])
    kinds: dict[str, tuple[int, str, str | None]] = field(
        default_factory=dict[str, tuple[int, str, str | None]]
    )
    bodiless: dict[str, int] = field(default_factory=dict[str, int])
    tombstones: dict[str, int] = field(default_factory=dict[str, int])
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    clock_back: int = 0

    def find(self, sort: str, seq: int | None, text: str) -> None:
        self.findings.append(Finding(sort, seq, text))


def verify(journal: Journal, against: Iterable[Anchor] = (), *, blobs: bool = True) -> Verification:
    """Compute the whole chain again, and compare it with `against`.

    Found are entries that were edited, removed, put in or reordered without recomputing all later hashes; bodies that
    are changed, or gone without a tombstone; outcomes from before their prediction; and through `against` also a chain
    that was rewritten as a whole, and a tail that was cut off. Without an anchor these two can't be told.

    Args:
        journal: an open one.
        against: heads from outside, as `anchors.from_git` finds them.
        blobs: whether to read and hash the blobs too.
    """
    walk, compared = _Walk(), tuple(against)
    _check_file(journal, walk)
    try:
        for row in _rows(journal):
            _check_entry(walk, row)
    except (JournalError, sqlite3.Error) as error:
        walk.find("file", walk.seq + 1, f"what follows entry {walk.seq} can't be read: {error}")
    _check_tombstones(journal, walk)
    if blobs:
        _check_blobs(journal, walk)
    for anchor in compared:
        _check_anchor(walk, anchor)
    if is_pending(journal):
        walk.notes.append("A purge has not finished: run `unweave journal purge --finish`.")
    if walk.clock_back:
        walk.notes.append(f"The clock went back {walk.clock_back} time(s); the order is that of the numbers.")
    head = Head(walk.seq, walk.hash)
    return Verification(head, tuple(walk.findings), _late(journal), tuple(walk.notes), compared, walk.purged)


def _rows(journal: Journal) -> Iterator[tuple[Any, ...]]:
    after = 0
    while True:
        with journal.reading() as connection:
            rows = connection.execute(_ROWS, (after,)).fetchall()
        yield from rows
        if not rows:
            return
        after = rows[-1][0]


def _check_file(journal: Journal, walk: _Walk) -> None:
    try:
        with journal.reading() as connection:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            strays = connection.execute(
                "SELECT count(*) FROM bodies WHERE seq NOT IN (SELECT seq FROM entries)"
            ).fetchone()[0]
    except JournalError as error:
        said, strays = str(error), 0
    if said != "ok":
        walk.find("file", None, f"SQLite finds the file damaged: {said}")
    if strays:
        walk.find("missing", None, f"{strays} bodies are there whose entry is gone")


def _check_entry(walk: _Walk, row: tuple[Any, ...]) -> None:
    seq, id, kind, session, about, time, body_sha256, previous, hashed, salt, body = row  # noqa: A001
    if seq != walk.seq + 1:
        walk.find("missing", seq, f"entries {walk.seq + 1} to {seq - 1} are gone")
    elif previous != walk.hash:
        walk.find("order", seq, f"entry {seq} does not follow on entry {seq - 1}: one was replaced or moved")
    if chained(seq, id, kind, session, about, time, body_sha256, previous) != hashed:
        walk.find("changed", seq, f"entry {seq} ({kind}) is not what its hash says")
    if body is None:
        walk.bodiless[id] = seq
    elif salted(salt, body) != body_sha256:
        walk.find("body", seq, f"the body of entry {seq} ({kind}) was changed")
    walk.clock_back += time < walk.time
    walk.seq, walk.hash, walk.time = seq, hashed, time
    walk.hashes[seq] = hashed
    walk.kinds[id] = (seq, kind, about)
    _check_subject(walk, seq, kind, about, body)


def _check_subject(walk: _Walk, seq: int, kind: str, about: str | None, body: str | None) -> None:
    """What comes before what it is about, or a second time."""
    if kind == "purge" and about is not None:
        walk.tombstones[about] = seq
    if kind == "outcome":
        if walk.kinds.get(str(about), (0, "", None))[1] != "prediction":
            walk.find(
                "order", seq, f"entry {seq} is the outcome of a prediction that was not there before it"
            )
        elif str(about) in walk.outcomes and walk.outcomes[str(about)] > 0:
            walk.find(
                "order",
                seq,
                f"entry {seq} is a second outcome of the prediction of entry {walk.kinds[str(about)][0]}",
            )
        walk.outcomes[str(about)] = 0 if _part(body, "result") == "unclear" else seq


def _late(journal: Journal) -> tuple[Finding, ...]:
    try:
        found = ResearchLog.read(journal).late()
    except JournalError:  # told above
        return ()
    return tuple(
        Finding(
            "late",
            one.seq,
            f"the prediction of entry {one.seq} came after evidence on the same: entry {first.seq}",
        )
        for one, first in found
    )


def _check_tombstones(journal: Journal, walk: _Walk) -> None:
    for id, seq in walk.bodiless.items():  # noqa: A001
        if walk.tombstones.get(id, 0) <= seq:
            walk.find("body", seq, f"the body of entry {seq} is gone, and no purge says so")
        else:
            walk.purged += 1
    for id, seq in walk.tombstones.items():  # noqa: A001
        if id not in walk.bodiless:
            where = f"entry {walk.kinds[id][0]}" if id in walk.kinds else f"{id}, which is not there"
            walk.find("body", seq, f"entry {seq} says that {where} was purged, and it was not")


def _check_blobs(journal: Journal, walk: _Walk) -> None:
    with journal.reading() as connection:
        uses = connection.execute(
            "SELECT sha256, min(seq) FROM blob_uses GROUP BY sha256 ORDER BY 2"
        ).fetchall()
    for sha256, seq in uses:
        try:
            journal.blobs.get(sha256)
        except (InputError, JournalError) as error:
            walk.find("blob", seq, f"a blob of entry {seq}: {error}")
    strays = {*journal.blobs} - {sha256 for sha256, _ in uses}
    if strays:
        walk.notes.append(
            f"{len(strays)} blob(s) belong to no entry, left by a writer that was stopped; a purge clears them away."
        )


def _check_anchor(walk: _Walk, anchor: Anchor) -> None:
    seq = anchor.head.seq
    if seq > walk.seq:
        walk.find(
            "anchor",
            None,
            f"the chain ends at {walk.seq}, and {anchor.where} has seen {seq}: its tail was cut off",
        )
    elif seq and walk.hashes.get(seq) != anchor.head.hash:
        walk.find(
            "anchor",
            seq,
            f"entry {seq} has another hash than {anchor.where} has seen: the chain was rewritten",
        )


def _part(body: str | None, name: str) -> Any:
    if body is None:
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value.get(name) if isinstance(value, dict) else None
