"""A session written by hand, with everything in it that exports must handle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unweave.journal import Hypothesis, Journal, Note, Outcome, Prediction, SurfaceItem
from unweave.journal.session_log import SessionLog
from unweave.journal.sessions import Session, session

Out = tuple[str, dict[str, Any], dict[str, Any]]


class Planted:
    """Writes steps one after another, each a millisecond long."""

    def __init__(
        self, journal: Journal, title: str = "a <b>session</b>", versions: dict[str, str] | None = None
    ) -> None:
        self.journal, self.n = journal, 0
        facts = {"versions": versions or {}, "host": "secret-host", "directory": "/data/somebody"}
        self.log = SessionLog.begin(journal, title=title, sort="script", facts=facts)

    def step(
        self, code: str, *outputs: Out, status: str | None = "ok", said: Sequence[Any] = (), **facts: Any
    ) -> str:
        self.n += 1
        at = self.n * 10**6
        begun = self.log.step_started(
            n=self.n, code=code, facts={"monotonic_ns": at, "execution_count": self.n, **facts}
        )
        for record in said:
            self.journal.add(record, session=self.log.id)
        for n, (sort, data, more) in enumerate(outputs, 1):
            self.log.output(begun.id, n=n, sort=sort, data=data, facts=more)
        if status is not None:
            self.log.step_ended(begun.id, status=status, facts={"monotonic_ns": at + 10**6})
        return begun.id

    def say(self, record: Any, about: str | None = None) -> str:
        return self.journal.add(record, session=self.log.id, about=about).id

    def session(self) -> Session:
        return session(self.journal, self.log.id)


def printed(text: str) -> Out:
    return "stream", {"text/plain": text}, {"name": "stdout"}


def journal_in(folder: Path) -> Journal:
    return Journal.open(folder / "journal.db", create=True)


def example(journal: Journal) -> Session:
    """Imports, a prediction made within its cell, its outcome, a failure, a private cell, and words between."""
    planted = Planted(journal)
    planted.step("import math\nx = 2.0")
    hypothesis = planted.say(Hypothesis("the root is | irrational"))
    planted.say(Hypothesis("it is rational", rival_of=hypothesis), about=hypothesis)
    prediction = Prediction("the root is below 1.5", 0.7)
    planted.step(
        '%predict 70% "the root is below 1.5"\nroot = math.sqrt(x)\nprint(root)',
        printed("1.4142135623730951\n"),
        said=[prediction],
    )
    made = next(journal.entries("prediction"))
    planted.say(Outcome("yes"), about=made.id)
    failed = planted.step(
        "1 / 0",
        (
            "error",
            {},
            {
                "error": {
                    "name": "ZeroDivisionError",
                    "value": "division by zero",
                    "traceback": ["\x1b[31mZeroDivisionError\x1b[0m"],
                }
            },
        ),
        status="error",
    )
    planted.log.why(failed, "to see what it says", assistant=True)
    hidden = planted.step("token_count = 3", printed("private words\n"))
    planted.log.private(hidden)
    planted.step(
        "root * 2",
        ("result", {"text/plain": "2.8284271247461903", "text/html": "<b>2.83</b>"}, {"execution_count": 5}),
    )
    planted.say(SurfaceItem("confusing", "why *that*?"))
    planted.say(Note("took long"))
    planted.step('%note "took long"', narration=True)
    planted.log.stopped()
    return planted.session()
