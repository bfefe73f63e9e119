"""The kinds of entries that a journal holds."""

from __future__ import annotations

from unweave.core.errors import InputError, nearest

RESEARCH = (
    "question",
    "hypothesis",
    "prediction",
    "outcome",
    "experiment",
    "evidence",
    "verdict",
    "surface",
    "resolved",
    "note",
    "comment",
    "adoption",
)
SESSION = (
    "session_started",
    "session_paused",
    "session_resumed",
    "session_stopped",
    "session_degraded",
    "step_started",
    "output",
    "step_ended",
    "why",
    "private",
    "attachment",
)
HOUSEKEEPING = ("purge", "anchor")
KINDS = frozenset((*RESEARCH, *SESSION, *HOUSEKEEPING))


def require_kind(kind: str) -> str:
    """`kind`, if there is such a one.

    Raises:
        InputError: if there is not.
    """
    if kind not in KINDS:
        raise InputError(
            wanted="a kind of journal entry",
            got=repr(kind),
            remedy=f"near it: {nearest(kind, sorted(KINDS))}",
        )
    return kind


def a_kind(kind: str) -> str:
    """A kind in a sentence: "a note", "an outcome", "a step started"."""
    words = kind.replace("_", " ")
    return f"an {words}" if words[0] in "aeio" else f"a {words}"
