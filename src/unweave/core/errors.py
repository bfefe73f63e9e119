"""Errors that say what was wanted, what came, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """A user's mistake, told in one line: what was wanted, what came, and the remedy."""

    def __init__(self, *, wanted: str, got: str, remedy: str) -> None:
        # Some parts quote another library's message, which may run over several lines.
        super().__init__(" ".join(f"wanted {wanted}; got {got}; {remedy}".split()))
        self.wanted, self.got, self.remedy = wanted, got, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickle would pass the sentence by position: an error in a worker process must come home.
        return _rebuilt, (type(self), self.wanted, self.got, self.remedy)


class HookError(InputError):
    """A hook that matches nothing, never fired, or returned what cannot stand in its place."""


class MissingActivation(InputError, KeyError):
    """A cache was asked for an activation it does not hold."""

    # KeyError would print the repr of its argument; the sentence itself is wanted.
    __str__ = Exception.__str__


def nearest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """The known names closest to `name`, ready to be put into a remedy."""
    choices = list(known)
    close = difflib.get_close_matches(name, choices, n=limit, cutoff=0.5)
    return ", ".join(close or choices[:limit]) or "(none)"


def _rebuilt(kind: type[InputError], wanted: str, got: str, remedy: str) -> InputError:
    return kind(wanted=wanted, got=got, remedy=remedy)
