"""What keeps an exported notebook from running from top to bottom, named cell by cell."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass

from unweave.journal.sessions import Session, Step
from unweave.recorder.exports.names import Names, names_of
from unweave.recorder.exports.passages import without_magics

# What IPython puts there, and what a notebook may use without having made it.
GIVEN = frozenset(dir(builtins)) | {
    "In",
    "Out",
    "_",
    "__",
    "___",
    "_i",
    "_ii",
    "_iii",
    "get_ipython",
    "display",
    "exit",
}
UNFINISHED = ("interrupted", "running")
REDACTED = "[redacted "


@dataclass(frozen=True)
class Obstacle:
    """One reason why a cell will not do again what it did.

    Args:
        step: its number in the session.
        sort: "private", "undefined", "secret", "error", "interrupted", "input", "purged", "shell".
        text: what, and what helps.
        stops: whether the notebook can't run on past it as it is; otherwise it runs, and may give something else.
    """

    step: int
    sort: str
    text: str
    stops: bool


def obstacles(session: Session) -> tuple[Obstacle, ...]:
    """Everything that is known to prevent the session's notebook from running, in order of the cells."""
    found: list[Obstacle] = []
    defined: dict[str, int] = {}  # by exported cells
    hidden: dict[str, int] = {}  # by private ones only
    for step in session.steps():
        if step.narration or step.within is not None:
            continue
        code = without_magics(step.whole_code())
        names = names_of(code)
        if step.private:
            hidden.update(dict.fromkeys(names.defined - defined.keys(), step.n))
            continue
        found += _of_names(step, names, defined, hidden)
        found += _of_step(step, code, names)
        if step.status not in UNFINISHED:
            defined.update(dict.fromkeys(names.defined, step.n))
            hidden = {name: n for name, n in hidden.items() if name not in names.defined}
    return tuple(found)


def _of_names(
    step: Step, names: Names, defined: dict[str, int], hidden: dict[str, int]
) -> Sequence[Obstacle]:
    found: list[Obstacle] = []
    for name in sorted(names.used - GIVEN - defined.keys()):
        if names.star:
            break
        if name in hidden:
            text = f"uses {name}, which the private cell {hidden[name]} made; export that cell too, or make {name} elsewhere"
            found.append(Obstacle(step.n, "private", text, True))
        elif step.status != "error":
            text = (
                f"uses {name}, which no cell before it makes (a cell that was not recorded, or out of order)"
            )
            found.append(Obstacle(step.n, "undefined", text, True))
    return found


def _of_step(step: Step, code: str, names: Names) -> Sequence[Obstacle]:
    found: list[Obstacle] = []
    if REDACTED in code:
        text = "holds a secret that was taken out; give it by an environment variable"
        found.append(Obstacle(step.n, "secret", text, True))
    if "[purged]" in code:
        found.append(Obstacle(step.n, "purged", "was purged from the journal; only its place is left", True))
    if step.status == "error":
        found.append(
            Obstacle(step.n, "error", "failed when it was recorded, and is marked as one that may", False)
        )
    if step.status in UNFINISHED:
        text = "did not come to its end, and is given as text: it might not come to an end"
        found.append(Obstacle(step.n, "interrupted", text, False))
    if "input" in names.used:
        found.append(Obstacle(step.n, "input", "asks for input, which an unattended run has not", True))
    if names.shell:
        text = "runs commands of the shell, which depend on the machine"
        found.append(Obstacle(step.n, "shell", text, False))
    return found
