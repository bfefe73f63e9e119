"""Text of a terminal as HTML: everything escaped, colours as classes, all other control sequences gone."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def coloured(text: str) -> Markup:
    """`text` as HTML."""
    parts: list[Markup] = []
    style: dict[str, str] = {}
    at = 0
    for found in _SEQUENCE.finditer(text):
        parts.append(_span(text[at : found.start()], style))
        at = found.end()
        if found[2] == "m":
            style = _after(style, found[1] or "0")
    parts.append(_span(text[at:], style))
    return Markup("").join(parts)


def uncoloured(text: str) -> str:
    """`text` without colours and other control sequences."""
    return _SEQUENCE.sub("", text)


def _span(text: str, style: dict[str, str]) -> Markup:
    if not text or not style:
        return escape(text)
    return Markup('<span class="{}">{}</span>').format(" ".join(style.values()), text)


def _after(style: dict[str, str], codes: str) -> dict[str, str]:
    """The style after these codes: bold and the sixteen colours; those of 256 and more are left out."""
    style = dict(style)
    numbers = iter(int(code) if code.isdecimal() else 0 for code in codes.split(";"))
    for number in numbers:
        if number == 0:
            style.clear()
        elif number == 1:
            style["weight"] = "bold"
        elif number == 22:
            style.pop("weight", None)
        elif number in (38, 48):
            mode = next(numbers, 5)
            for _ in range(1 if mode == 5 else 3):
                next(numbers, None)
        elif number == 39:
            style.pop("ink", None)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            style["ink"] = f"ink-{_NAMES[number % 10]}"
    return style
