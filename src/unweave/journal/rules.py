"""What must be true of an entry in the light of those before it; checked in the transaction that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from unweave.core.errors import InputError
from unweave.journal.entries import Entry
from unweave.journal.kinds import a_kind
from unweave.journal.records import RECORDS


@runtime_checkable
class Log(Protocol):
    """What of a journal is needed here."""

    def entries(self, kind: str | None = None, *, about: str | None = None) -> Iterator[Entry]:
        """The entries of a kind about an entry."""
        ...

    def entry(self, id: str) -> Entry:
        """The entry of an id."""
        ...


# What a record must be about, and what the ids in its body must name.
ABOUT = {"outcome": "prediction", "verdict": "hypothesis", "resolved": "surface", "adoption": "comment"}
NAMED = {
    "hypothesis": {"rival_of": "hypothesis"},
    "evidence": {"experiment": "experiment", "step": "step_started"},
    "adoption": {"rival": "hypothesis"},
}


def check(log: Log, kind: str, body: Mapping[str, Any], about: str | None) -> None:
    """Raise if a record can't stand here.

    Raises:
        InputError: for a body that is none of its kind's, an id that names nothing or something else, a
            second outcome of a prediction, or a second resolution.
    """
    if kind not in RECORDS:
        return
    RECORDS[kind].from_body(body)
    if about is not None or kind in ABOUT:
        _require_kind(log, kind, "about", about, ABOUT.get(kind))
    for name, wanted in NAMED.get(kind, {}).items():
        if body.get(name) is not None:
            _require_kind(log, kind, name, str(body[name]), wanted)
    if kind in _ONCE and about is not None:
        _ONCE[kind](log, about)


def settled(log: Log, prediction: str) -> Entry | None:
    """The outcome that a prediction has: the last one, if it has any."""
    return next(reversed([*log.entries("outcome", about=prediction)]), None)


def _require_kind(log: Log, kind: str, name: str, id: str | None, wanted: str | None) -> None:
    remedy = f"make the {wanted} first, and name it by its id" if wanted else "name an entry by its id"
    thing = f"{a_kind(kind)}'s {name} to name {a_kind(wanted) if wanted else 'an entry'}"
    if id is None:
        raise InputError(wanted=thing, got="none", remedy=remedy)
    try:
        found = log.entry(id)
    except InputError:
        found = None
    if found is None or found.id != id:
        raise InputError(wanted=thing, got=f"{id!r}, which is none in this journal", remedy=remedy)
    if wanted and found.kind != wanted:
        raise InputError(wanted=thing, got=f"{id!r}, {a_kind(found.kind)}", remedy=remedy)


def _one_outcome(log: Log, prediction: str) -> None:
    before = settled(log, prediction)
    if before is not None and (before.body or {}).get("result") != "unclear":
        raise InputError(
            wanted="one outcome of a prediction",
            got=f"a second one; it came out {(before.body or {}).get('result', '(purged)')} at {before.time}",
            remedy="predictions are locked once their outcome is known: write a note about what changed",
        )


def _one_resolution(log: Log, item: str) -> None:
    before = next(log.entries("resolved", about=item), None)
    if before is not None:
        raise InputError(
            wanted="one resolution of a surface item",
            got=f"a second one; it was resolved at {before.time}",
            remedy="write a new item or a note",
        )


_ONCE: dict[str, Callable[[Log, str], None]] = {"outcome": _one_outcome, "resolved": _one_resolution}
