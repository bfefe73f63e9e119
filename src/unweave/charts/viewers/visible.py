"""Tokens as they can be seen: blanks, line ends and what has no shape of its own get a sign."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from unweave.charts.viewers.viewer import whole

MARKS: Final = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}
EMPTY: Final = "∅"
# Controls, formats (zero-width, direction), separators other than the blank, private use, unassigned.
_HIDDEN: Final = {"Cc", "Cf", "Zs", "Zl", "Zp", "Co", "Cn"}


def visible(token: str) -> str:
    """`token` with each blank as ·, line end as ↵, tab as ⇥, and what can't be seen as its code.

    A token that holds one of these signs itself shows its code, so that no two tokens look alike for a blank.
    """
    token = whole(token)
    if not token:
        return EMPTY
    shown = "".join(_sign(character) for character in token)
    # A mark that combines with the letter before it would sit on its neighbour.
    return f"◌{shown}" if unicodedata.combining(shown[0]) else shown


def label(name: str) -> str:
    """A name with its single blanks as they are, and what else can't be seen as its code."""
    return " ".join(visible(part) for part in name.split(" ")) if name.strip() else visible(name)


def seen(tokens: Sequence[str]) -> list[str]:
    """Every token as `visible` shows it."""
    return [visible(token) for token in tokens]


def text_data(tokens: Sequence[str]) -> dict[str, Any]:
    """Tokens for a running text: how each is shown, and after which a line ends."""
    return {"tokens": seen(tokens), "breaks": [at for at, token in enumerate(tokens) if "\n" in token]}


def short(token: str, width: int = 12) -> str:
    """A visible token cut to `width` characters, for the plain text."""
    shown = visible(token)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def _sign(character: str) -> str:
    if character in MARKS:
        return MARKS[character]
    if character in MARKS.values() or character == EMPTY or unicodedata.category(character) in _HIDDEN:
        return f"<U+{ord(character):04X}>"
    return character
