"""Every colour of the charts, in one place, chosen to be told apart by colour-blind readers.

Categories follow Okabe and Ito (2008, "Color Universal Design") without their yellow. Their
orange and sky blue are too faint on white and their black vanishes on a dark page, so the light
list darkens the former two, and the dark list keeps the originals with white for black. Figures
are drawn with the light list; the page writer swaps one list for the other.
"""

from __future__ import annotations

from typing import Final

#: blue, vermillion, green, purple, ochre, deep sky, ink: at least 3:1 against white.
CATEGORIES: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A5A00", "#0B4765", "#1A1A1A")

#: The same seven for a dark page: orange for ochre, sky blue, and white for ink.
CATEGORIES_DARK: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F2F2F2")

#: What each light colour becomes on a dark page.
LIGHT_TO_DARK: Final = dict(zip(CATEGORIES, CATEGORIES_DARK, strict=True))

#: Open symbols and single highlights: ink, which no line of a small chart shares.
MARK: Final = CATEGORIES[-1]

#: Reference lines and text whose background is unknown: 4.5:1 on white, 3.9:1 on the dark page.
NEUTRAL: Final = "#767676"

#: Perceptually even and monotone in lightness (plotly knows it by name).
SEQUENTIAL: Final = "Viridis"

#: Blue below zero, orange above, equally dark at equal distance. Zero is a warm grey, so that it
#: differs from an empty cell, which shows the page.
DIVERGING: Final = (
    (0.0, "#07416B"),
    (0.25, "#438CC0"),
    (0.42, "#B2CDDF"),
    (0.5, "#ECE9E2"),
    (0.58, "#E7BF96"),
    (0.75, "#BF7026"),
    (1.0, "#632C00"),
)

#: Told apart without colour: line dashes, marker symbols and bar patterns, in the same order.
#: The dash and colour lists have no common period, so 42 lines differ before one repeats.
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
PATTERNS: Final = ("", "/", "x", "-", ".", "\\", "+")

#: The page's own backgrounds, against which contrast is reckoned.
PAGE_LIGHT: Final = "#FFFFFF"
PAGE_DARK: Final = "#14171C"


#: The viewers' scales begin at the page, so that nothing looks like nothing: one hue up from zero,
#: or blue below zero and orange above.
VIEWER: Final = {
    "light": {
        "up": ("#FFFFFF", "#CFE1EE", "#7FB2D6", "#2B7DB6", "#07416B"),
        "both": ("#07416B", "#438CC0", "#B2CDDF", "#FFFFFF", "#E7BF96", "#BF7026", "#632C00"),
    },
    "dark": {
        "up": (PAGE_DARK, "#17344A", "#1F5F8B", "#4A9FD6", "#BFE4FB"),
        "both": ("#BFE4FB", "#4A9FD6", "#1B4460", PAGE_DARK, "#5A3413", "#D0813A", "#FFDDB8"),
    },
}


def category(index: int) -> str:
    """The colour of series `index`, counted from 0; the list repeats after seven."""
    return CATEGORIES[index % len(CATEGORIES)]


def dash(index: int) -> str:
    """The line dash of series `index`, counted from 0."""
    return DASHES[index % len(DASHES)]


def symbol(index: int) -> str:
    """The marker symbol of series `index`, counted from 0."""
    return SYMBOLS[index % len(SYMBOLS)]


def pattern(index: int) -> str:
    """The bar fill pattern of series `index`, counted from 0; the first is plain."""
    return PATTERNS[index % len(PATTERNS)]
