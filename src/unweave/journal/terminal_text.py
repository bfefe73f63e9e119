"""What a terminal would show of text with carriage returns: a progress bar's last state, not its thousand."""

from __future__ import annotations

import re

# One sign on the screen, or a control sequence, which takes no place there.
_TOKEN = re.compile(r"\x1b\[[0-9;?]*[@-~]|.", re.DOTALL)
_ERASE = re.compile(r"\x1b\[([012]?)K")


def collapse(text: str) -> str:
    """`text` without what a carriage return let be overwritten.

    Parts may be collapsed one by one, joined, and collapsed again: what a later part can still
    overwrite stays, and so does the cursor's place. Colours stay with the signs that they colour;
    "erase the line" is done. Backspaces and moves to other lines are left as they are.
    """
    if "\r" not in text:
        return text
    lines = text.split("\n")
    # The first line may go on from text that this part knows nothing of: a return there is kept.
    for number, line in enumerate(lines):
        if "\r" in line:
            lines[number] = _collapsed(line, first=number == 0, last=number == len(lines) - 1)
    return "\n".join(lines)


def _collapsed(line: str, first: bool, last: bool) -> str:
    lead, rest = "", line
    if first:
        lead, _, rest = line.partition("\r")
        lead += "\r"
    cells, cursor = _screen(rest)
    shown = "".join(cells)
    if not last:
        # Only the line end follows: where the cursor was no longer matters, nor does a bare return.
        return shown if not first else lead + shown if shown else lead[:-1]
    if cursor == len(cells):
        return lead + shown
    # A later part goes on from the cursor: write again what led up to it.
    return f"{lead}{shown}\r{''.join(cells[:cursor])}"


def _screen(text: str) -> tuple[list[str], int]:
    """The signs of one line, each with the control sequences before it, and where the cursor stands."""
    cells, cursor, pending = list[str](), 0, ""
    for token in _TOKEN.findall(text):
        if token == "\r":
            cells, pending, cursor = _hung(cells, cursor, pending), "", 0
        elif erased := _ERASE.fullmatch(token):
            cells = _erased(cells, cursor, erased[1])
        elif len(token) > 1:
            pending += token
        else:
            cells[cursor : cursor + 1] = [pending + token]
            pending, cursor = "", cursor + 1
    return _hung(cells, cursor, pending), cursor


def _hung(cells: list[str], cursor: int, pending: str) -> list[str]:
    """Control sequences that no sign came after, hung on the sign before."""
    if pending and cells and cursor:
        cells[cursor - 1] += pending
    elif pending and cells:
        cells[0] = pending + cells[0]
    return cells


def _erased(cells: list[str], cursor: int, how: str) -> list[str]:
    if how in ("", "0"):
        return cells[:cursor]
    blank = cursor if how == "2" else min(cursor + 1, len(cells))
    return [" "] * blank + ([] if how == "2" else cells[blank:])
