"""A session in the order in which it is to be read: what was said of a cell stands above it, what followed below."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from unweave.journal import Entry
from unweave.journal.kinds import RESEARCH
from unweave.journal.sessions import Session, Step
from unweave.recorder.narration import MAGICS

# Said within a cell, these are about what it will show: they are read before it.
BEFOREHAND = ("question", "hypothesis", "prediction")
_LETTERS = {"question": "Q", "hypothesis": "H", "prediction": "P"}
_MAGIC = re.compile(rf"\s*%(?:{'|'.join(MAGICS)})\b.*")


@dataclass(frozen=True)
class Words:
    """A record of the research log.

    Args:
        entry: of it.
        label: by which people name it: P3 is the third prediction of its session.
        about: what it is about, in words, where that is known.
    """

    entry: Entry
    label: str = ""
    about: str = ""


@dataclass(frozen=True)
class Cell:
    """A step that did something.

    Args:
        step: as it was recorded.
        code: without the magics of the journal.
        reasons: what was said of why, each with whether it marks code of an assistant.
    """

    step: Step
    code: str
    reasons: tuple[tuple[str, bool], ...] = field(default=())


Passage = Words | Cell


def passages(session: Session, *, private: bool = False) -> tuple[Passage, ...]:
    """Everything that is to be read, in order.

    Predictions, hypotheses and questions made within a cell come before it, other words after it. Outcomes that were
    given after the session come at the end. Cells that only say something are their words alone.

    Args:
        private: whether cells that were marked `%private` are in it, and what was said and found in them.
    """
    hidden = frozenset[str]() if private else unpublished(session)
    steps = {step.id: step for step in session.steps()}
    labels = labelled(session)
    order: list[Passage] = []
    after: dict[str, list[Passage]] = {}
    running: list[str] = []
    for entry in session.timeline():
        if entry.kind == "step_started":
            step = steps[entry.id]
            running.append(entry.id)
            after[entry.id] = []
            order.append(Cell(step, without_magics(step.whole_code()), step.reasons()))
        elif entry.kind == "step_ended" and entry.about in running:
            running.remove(entry.about)
            _settle(order, entry.about, after.pop(entry.about))
        elif entry.kind in RESEARCH and entry.body is not None and entry.id not in hidden:
            words = Words(entry, labels.get(entry.id, ""), labels.get(entry.about or "", ""))
            if not running:
                order.append(words)
            elif entry.kind in BEFOREHAND:
                order.insert(_place(order, running[0]), words)
            else:
                after[running[0]].append(words)
    for id in running:  # noqa: A001
        _settle(order, id, after[id])
    order += _later(session, {of: label for of, label in labels.items() if of not in hidden})
    return tuple(passage for passage in order if _is_read(passage, hidden))


def unpublished(session: Session) -> frozenset[str]:
    """The ids of all entries that exports leave out.

    Private steps and the steps that they ran, and what was said or found within them or about them.
    """
    hidden = set[str]()
    for step in session.steps():
        if step.private or step.within in hidden:
            hidden.add(step.id)
    private, running = frozenset(hidden), list[str]()
    for entry in session.timeline():
        if entry.kind == "step_started":
            running.append(entry.id)
        elif entry.kind == "step_ended" and entry.about in running:
            running.remove(entry.about)
        elif (
            entry.about in hidden
            or (entry.body or {}).get("step") in hidden
            or not private.isdisjoint(running)
        ):
            hidden.add(entry.id)
    return frozenset(hidden)


def labelled(session: Session) -> dict[str, str]:
    """The name of each question, hypothesis and prediction, as the magics showed it."""
    found: dict[str, str] = {}
    for kind, letter in _LETTERS.items():
        entries = session.journal.entries(kind, session=session.id)
        found.update((entry.id, f"{letter}{n}") for n, entry in enumerate(entries, 1))
    return found


def without_magics(code: str) -> str:
    """Code without the lines that are magics of the journal, which say something and do nothing."""
    lines = code.split("\n")
    return "\n".join(line for line in lines if not _MAGIC.fullmatch(line)).strip("\n")


def _settle(order: list[Passage], step: str, words: Iterable[Passage]) -> None:
    at = _place(order, step) + 1
    order[at:at] = words


def _place(order: list[Passage], step: str) -> int:
    return next(i for i, passage in enumerate(order) if isinstance(passage, Cell) and passage.step.id == step)


def _later(session: Session, labels: dict[str, str]) -> list[Passage]:
    """Outcomes of this session's predictions that were given outside it."""
    return [
        Words(entry, about=label)
        for id, label in labels.items()  # noqa: A001
        if label.startswith("P")
        for entry in session.journal.entries("outcome", about=id)
        if entry.session != session.id
    ]


def _is_read(passage: Passage, hidden: frozenset[str]) -> bool:
    return isinstance(passage, Words) or (passage.step.id not in hidden and not passage.step.narration)


def nested_away(found: Iterable[Passage]) -> tuple[Passage, ...]:
    """The passages without cells that another cell ran: running that one runs them again."""
    return tuple(p for p in found if not (isinstance(p, Cell) and p.step.within is not None))
