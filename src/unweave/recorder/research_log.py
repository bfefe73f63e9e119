"""What the magics write: records of the journal, in the session that is recorded or in none."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unweave.core.errors import InputError
from unweave.journal import Entry, Journal, locate
from unweave.journal.records import (
    Hypothesis,
    Note,
    Outcome,
    Prediction,
    Question,
    Record,
    SurfaceItem,
)
from unweave.journal.redaction import Redactor
from unweave.recorder.recording import Recording

T = TypeVar("T")
LETTERS = {"prediction": "P", "hypothesis": "H", "question": "Q"}


@dataclass(frozen=True)
class Said:
    """A record that was written, and the name by which people say it: P3 is the third prediction of its session."""

    entry: Entry
    label: str


class ResearchLog:
    """Writes what a person says: into the session that is recorded, else into the one that was last, else into none.

    Args:
        recording: gives the recording that goes on, or None.
        last: gives the last one, which has been stopped, or None.
    """

    def __init__(
        self, recording: Callable[[], Recording | None], last: Callable[[], Recording | None]
    ) -> None:
        self._recording, self._last_recording = recording, last

    @property
    def session(self) -> str | None:
        """The id of the session that is written into."""
        recording = self._recording() or self._last_recording()
        return None if recording is None else recording.id

    @property
    def path(self) -> Path:
        """Of the journal that is written."""
        recording = self._recording() or self._last_recording()
        return recording.path if recording is not None else locate()

    def predict(self, probability: float, statement: str, **number: Any) -> Said:
        """Write a prediction, with what had been seen when it was made."""
        return self._add(Prediction(statement, probability, seen_so_far=self._seen(), **number))

    def outcome(self, which: str | None, result: str, note: str = "") -> tuple[Said, Entry]:
        """Write how a prediction came out: the one that is named, else the last one that is open.

        Raises:
            InputError: if there is none, or it has its outcome.
        """
        outcome = Outcome(result, note)
        prediction = self._prediction(which)
        return self._add(outcome, about=prediction.id), prediction

    def question(self, text: str) -> Said:
        """Write a question."""
        return self._add(Question(text))

    def hypothesis(self, text: str) -> Said:
        """Write a hypothesis, about the last question of the session."""
        last = self._last("question")
        return self._add(Hypothesis(text), about=None if last is None else last.id)

    def rival(self, text: str, which: str | None = None) -> tuple[Said, Entry]:
        """Write a rival of a hypothesis: of the one that is named, else of the last that is none itself.

        Raises:
            InputError: if there is none.
        """
        found = self._named("hypothesis", which) if which else self._rivalled()
        return self._add(Hypothesis(text, rival_of=found.id), about=found.id), found

    def surface(self, sort: str, text: str) -> Said:
        """Write what is confusing, an idea, or what to look at next."""
        return self._add(SurfaceItem(sort, text))

    def note(self, text: str) -> Said:
        """Write a note."""
        return self._add(Note(text))

    def add(self, kind: str, body: Mapping[str, Any], about: str | None = None) -> Entry:
        """Write an entry.

        Raises:
            InputError: if it can't be.
            JournalError: if the journal can't be written.
        """
        recording = self._recording()
        if recording is not None:
            return recording.say(kind, body, about)
        with Journal.open(self.path, create=True) as journal:
            return journal.append(kind, Redactor().value(body), session=self.session, about=about)

    def _add(self, record: Record, about: str | None = None) -> Said:
        entry = self.add(record.kind, record.to_body(), about)
        return Said(entry, self._label(entry))

    def steps(self) -> list[tuple[int, str]]:
        """Number and id of each step of the session."""
        session = self.session
        if session is None:
            return []
        return self._read(
            lambda journal: [
                (e.body["n"], e.id) for e in journal.entries("step_started", session=session) if e.body
            ]
        )

    def _label(self, entry: Entry) -> str:
        letter = LETTERS.get(entry.kind)
        if letter is None:
            return ""
        return f"{letter}{[one.id for one in self._of_kind(entry.kind)].index(entry.id) + 1}"

    def _prediction(self, which: str | None) -> Entry:
        if which:
            return self._named("prediction", which)
        predictions = self._of_kind("prediction")
        known = self._read(
            lambda journal: {
                e.about for e in journal.entries("outcome") if (e.body or {}).get("result") != "unclear"
            }
        )
        for prediction in reversed(predictions):
            if prediction.id not in known:
                return prediction
        raise InputError(
            wanted="a prediction that has no outcome yet",
            got="none at all" if not predictions else f"{len(predictions)} that all have theirs",
            remedy='make one before you look: %predict 70% "the loss falls below 0.1"',
        )

    def _rivalled(self) -> Entry:
        found = [e for e in self._of_kind("hypothesis") if e.body and not e.body.get("rival_of")]
        if not found:
            raise InputError(
                wanted="a hypothesis for it to be a rival of",
                got="none",
                remedy='say it first: %hypothesis "head 5 copies the name"',
            )
        return found[-1]

    def _named(self, kind: str, which: str) -> Entry:
        found, letter = self._of_kind(kind), LETTERS[kind]
        number = which.upper().removeprefix(letter)
        if number.isdecimal() and 0 < int(number) <= len(found):
            return found[int(number) - 1]
        for entry in found:
            if which == entry.id:
                return entry
        last = f"{letter}1 to {letter}{len(found)}" if found else f"there is no {kind} yet"
        raise InputError(wanted=f"a {kind} by its number", got=repr(which), remedy=last)

    def _last(self, kind: str) -> Entry | None:
        found = self._of_kind(kind)
        return found[-1] if found else None

    def _of_kind(self, kind: str) -> list[Entry]:
        """The records of the session; without one, those of the journal that belong to none."""
        session = self.session
        return self._read(
            lambda journal: [e for e in journal.entries(kind, session=session) if e.session == session]
        )

    def _read(self, look: Callable[[Journal], list[Any] | set[Any]]) -> Any:
        recording = self._recording()
        if recording is not None:
            return recording.read(look)
        with self._opened() as journal:
            return look(journal) if journal is not None else []

    @contextmanager
    def _opened(self) -> Generator[Journal | None]:
        if not self.path.exists():
            yield None
            return
        with Journal.open(self.path) as journal:
            yield journal

    def _seen(self) -> str:
        recording = self._recording()
        if recording is None:
            return ""
        ended = recording.steps.count - len(recording.steps.running)
        return f"{ended} cells of session {recording.id}"
