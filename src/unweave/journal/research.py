"""The research log as a whole: what hangs on what, read once and then asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unweave.journal.entries import Entry
from unweave.journal.kinds import RESEARCH
from unweave.journal.store import Journal


@dataclass(frozen=True)
class Ran:
    """One recorded cell that did something: the numbers of the entries that begin it and, if any does, end it."""

    begun: int
    ended: int | None


@dataclass(frozen=True)
class ResearchLog:
    """All research entries of a journal whose bodies are there, in order.

    Args:
        entries: by id, in the order of the log.
        sessions: the ids of sessions that were marked exploratory.
        cells: of each session, those that hold more than magics of the journal.
    """

    entries: dict[str, Entry]
    sessions: frozenset[str]
    cells: dict[str, list[Ran]]

    @classmethod
    def read(cls, journal: Journal) -> ResearchLog:
        """Read it."""
        found = {entry.id: entry for entry in journal.entries(RESEARCH) if entry.body is not None}
        marked = (one for one in journal.entries("session_started") if part(one, "exploratory"))
        ends = {one.about: one.seq for one in journal.entries("step_ended")}
        cells: dict[str, list[Ran]] = {}
        for step in journal.entries("step_started"):
            if step.session is not None and not part(step, "narration"):
                cells.setdefault(step.session, []).append(Ran(step.seq, ends.get(step.id)))
        return cls(found, frozenset(one.session for one in marked if one.session), cells)

    def of(self, kind: str) -> list[Entry]:
        """The entries of a kind, in order."""
        return self._by_kind.get(kind, [])

    def about(self, id: str, kind: str) -> list[Entry]:
        """The entries of a kind about an entry, in order."""
        return self._by_subject.get((id, kind), [])

    @cached_property
    def _by_kind(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.entries.values():
            found.setdefault(entry.kind, []).append(entry)
        return found

    @cached_property
    def _by_subject(self) -> dict[tuple[str, str], list[Entry]]:
        found: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries.values():
            found.setdefault((entry.about or "", entry.kind), []).append(entry)
        return found

    @cached_property
    def _evidence(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for one in self.of("evidence"):
            for subject in self.subjects(one):
                found.setdefault(subject.id, []).append(one)
        return found

    def outcome(self, prediction: Entry) -> Entry | None:
        """How a prediction came out in the end; None while it is open."""
        found = self.about(prediction.id, "outcome")
        return found[-1] if found else None

    def verdict(self, hypothesis: Entry) -> Entry | None:
        """The last verdict on a hypothesis."""
        found = self.about(hypothesis.id, "verdict")
        return found[-1] if found else None

    def subjects(self, entry: Entry) -> list[Entry]:
        """What an entry is about, what that is about, and so on; its experiment and what that is about too."""
        found: dict[str, Entry] = {}
        ahead = [entry]
        while ahead:
            one = ahead.pop()
            for name in (one.about, part(one, "experiment")):
                subject = self.entries.get(str(name))
                if subject is not None and subject.id not in found:
                    found[subject.id] = subject
                    ahead.append(subject)
        return [*found.values()]

    def evidence(self, id: str) -> list[Entry]:
        """The evidence on an entry: about it, or about a prediction or experiment about it."""
        return self._evidence.get(id, [])

    def question(self, entry: Entry) -> Entry | None:
        """The question that an entry belongs to: the one it is about, else the last one of its session before it."""
        for one in (entry, *self.subjects(entry)):
            if one.kind == "question":
                return one
        if entry.session is None:
            return None
        before = [one for one in self.of("question") if one.session == entry.session and one.seq < entry.seq]
        return before[-1] if before else None

    def exploratory(self, entry: Entry) -> bool:
        """Whether it was marked as looking around: itself, what it is about, its question, or its session."""
        if entry.session in self.sessions:
            return True
        question = self.question(entry)
        chain = (entry, *self.subjects(entry), *(() if question is None else (question,)))
        return any(part(one, "exploratory") for one in chain)

    def late(self) -> list[tuple[Entry, Entry]]:
        """Predictions that came after evidence, with that evidence.

        After evidence on the same experiment; or on the same hypothesis, without saying what had been seen.
        """
        found: list[tuple[Entry, Entry]] = []
        for prediction in self.of("prediction"):
            subject = self.entries.get(prediction.about or "")
            if subject is None or (subject.kind != "experiment" and part(prediction, "seen_so_far")):
                continue
            for one in self.of("evidence"):
                names = (one.about, part(one, "experiment"))
                if one.seq < prediction.seq and subject.id in names and not part(one, "failed"):
                    found.append((prediction, one))
                    break
        return found

    def at_once(self) -> list[tuple[Entry, Entry]]:
        """Predictions of a session whose outcome came with no cell run between: what was predicted was there already."""
        found: list[tuple[Entry, Entry]] = []
        for prediction in self.of("prediction"):
            outcome = next(iter(self.about(prediction.id, "outcome")), None)
            if outcome is None or prediction.session is None or outcome.session != prediction.session:
                continue
            # The cell that a prediction stands on top of ends after it, and so counts.
            cells = self.cells.get(prediction.session, [])
            if not any(
                (cell.ended or outcome.seq) > prediction.seq and cell.begun < outcome.seq for cell in cells
            ):
                found.append((prediction, outcome))
        return found


def part(entry: Entry, name: str) -> Any:
    """A part of an entry's body; None where there is none."""
    return (entry.body or {}).get(name)


def title(entry: Entry, width: int = 72) -> str:
    """What an entry says, on one line."""
    body = entry.body or {}
    text = next(
        (
            str(body[key])
            for key in ("text", "statement", "title", "reason", "result", "source")
            if body.get(key)
        ),
        "",
    )
    text = " ".join(text.split()) or (entry.kind if entry.body is not None else f"{entry.kind}, purged")
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"
