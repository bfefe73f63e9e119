"""One line of a magic, taken apart: what it says, in quotes or without, and its options."""

from __future__ import annotations

import re

from unweave.core.errors import InputError

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}
_CLOCK = re.compile(r"(?P<sign>[+-]?)(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+(?:\.\d*)?|\.\d+)s?")


def unquoted(text: str) -> str:
    """`text` without the quotes around all of it."""
    text = text.strip()
    if len(text) >= 2 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def require_text(magic: str, text: str, example: str) -> str:
    """The text of a magic that says something.

    Raises:
        InputError: if there is none.
    """
    found = unquoted(text)
    if not found:
        raise InputError(wanted=f"some text after %{magic}", got="none", remedy=f"write %{magic} {example}")
    return found


def flag(text: str, name: str) -> tuple[bool, str]:
    """Whether `--name` stands at the beginning or the end, and the rest."""
    words = text.strip()
    for rest in (words.removeprefix(name), words.removesuffix(name)):
        if rest != words and (not rest or rest[0].isspace() or rest[-1].isspace()):
            return True, rest.strip()
    return False, words


def option(text: str, name: str) -> tuple[str | None, str]:
    """The word after `--name` where that stands at the beginning, and the rest.

    Raises:
        InputError: if no word stands there.
    """
    word, rest = first_word(text)
    if word != name:
        return None, text.strip()
    value, rest = first_word(rest)
    if not value:
        raise InputError(wanted=f"a number after {name}", got="none", remedy=f"write {name} 3")
    return value, rest


def first_word(text: str) -> tuple[str, str]:
    """The first word, and the rest."""
    word, _, rest = text.strip().partition(" ")
    return word, rest.strip()


def seconds(text: str) -> float:
    """`12.5`, `1:02:03` or `-0:30` in seconds.

    Raises:
        InputError: for anything else.
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise InputError(
            wanted="an offset in seconds, or as minutes:seconds",
            got=repr(text),
            remedy="write 12.5, 1:30 or 1:02:03; negative if the recording began before the session",
        )
    total = int(found["h"] or 0) * 3600 + int(found["m"] or 0) * 60 + float(found["s"])
    return -total if found["sign"] == "-" else total
