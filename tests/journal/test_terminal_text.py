"""What is left of text with carriage returns is what a terminal would show of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unweave.journal.terminal_text import collapse


def screen(text: str) -> list[str]:
    """A terminal of endless width: the lines that it shows, and the cursor's place as a last line."""
    lines, column = [[]], 0
    for sign in text:
        if sign == "\n":
            lines.append([])
            column = 0
        elif sign == "\r":
            column = 0
        else:
            lines[-1][column : column + 1] = [sign]
            column += 1
    return ["".join(line) for line in lines] + [str(column)]


def test_a_progress_bar_is_its_last_state():
    text = "training\n  0%|    |\r 50%|##  |\r100%|####|\ndone"
    assert collapse(text) == "training\n100%|####|\ndone"


def test_a_shorter_line_leaves_the_end_of_the_one_below_it():
    def mistaken(text: str) -> str:
        """Keeps what follows the last return, as if it had erased the line."""
        return text.rpartition("\r")[2]

    assert collapse("\nabcdef\rXY\n") == "\nXYcdef\n"
    assert mistaken("abcdef\rXY") == "XY"


def test_windows_line_ends_are_line_ends():
    assert collapse("one\r\ntwo\r\n") == "one\ntwo\n"


def test_erasing_the_line_is_done():
    assert collapse("\na long line\r\x1b[Kshort\n") == "\nshort\n"
    assert collapse("\nabc\r\x1b[2Kx\n") == "\nx\n"


def test_colours_stay_with_what_they_colour():
    assert collapse("\n\x1b[31mred\x1b[0m\r\x1b[32mgr\x1b[0m\n") == "\n\x1b[32mgr\x1b[0md\x1b[0m\n"


pieces = st.lists(st.text(alphabet="ab\r\n", max_size=12), max_size=5)


@given(pieces)
def test_it_shows_what_a_terminal_shows(parts: list[str]):
    text = "".join(parts)
    assert screen(collapse(text)) == screen(text)


@given(pieces)
def test_parts_can_be_collapsed_before_they_are_joined(parts: list[str]):
    assert screen(collapse("".join(map(collapse, parts)))) == screen("".join(parts))
