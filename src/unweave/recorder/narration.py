"""What was said about what was done, and what was not: cells without a why, predictions without outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unweave.journal import Entry, Journal
from unweave.journal.sessions import Step, session

MAGICS = (
    *(
        "record",
        "predict",
        "outcome",
        "hypothesis",
        "rival",
        "confusing",
        "idea",
        "next",
        "note",
        "why",
        "question",
    ),
    *("private", "load_ext unweave", "reload_ext unweave"),
)
_NARRATES = re.compile(rf"\s*(?:#.*|%(?:{'|'.join(MAGICS)})\b.*)?\s*")


def only_narrates(code: str) -> bool:
    """Whether code holds nothing but magics of the journal, and so does nothing that needs a why."""
    return bool(code.strip()) and all(_NARRATES.fullmatch(line) for line in code.splitlines())


@dataclass(frozen=True)
class Narration:
    """What a session lacks in words.

    Args:
        steps: how many steps there are that do something.
        without_why: those of them that nobody said a why of.
        predictions: how many predictions were made.
        open_predictions: those of them that no outcome was given to.
    """

    steps: int
    without_why: tuple[Step, ...]
    predictions: int
    open_predictions: tuple[Entry, ...]

    @property
    def coverage(self) -> float:
        """The share of steps, from 0 to 1, that have a why."""
        return 1 - len(self.without_why) / self.steps if self.steps else 1.0

    def __str__(self) -> str:
        parts = [f"{self.steps - len(self.without_why)} of {self.steps} cells say why"]
        if self.without_why:
            parts.append(f"without: {_numbers([step.n for step in self.without_why])}")
        if self.open_predictions:
            parts.append(f"{len(self.open_predictions)} of {self.predictions} predictions have no outcome")
        return "; ".join(parts)


def narration(journal: Journal, id: str) -> Narration:
    """What a session lacks in words."""
    steps = [step for step in session(journal, id).steps() if not step.narration and step.within is None]
    predictions = [*journal.entries("prediction", session=id)]
    return Narration(
        steps=len(steps),
        without_why=tuple(step for step in steps if not step.whys),
        predictions=len(predictions),
        open_predictions=tuple(e for e in predictions if not has_outcome(journal, e)),
    )


def has_outcome(journal: Journal, prediction: Entry) -> bool:
    """Whether an outcome was given to a prediction, in this session or after it."""
    return any(True for _ in journal.entries("outcome", about=prediction.id))


def _numbers(numbers: list[int], most: int = 12) -> str:
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"
