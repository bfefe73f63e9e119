"""How heatmaps fit a page: the room that labels and the colour bar take, wide and on a phone."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from unweave.charts.figures.style import BOTTOM, NARROW, TOP, Fit, plain

LEFT: Final = 64  # pixels for the row labels and the axis title
RIGHT: Final = 96  # pixels for the colour bar
RIGHT_NARROW: Final = 14  # on a phone the colour bar lies underneath
BAR_BELOW: Final = 70  # pixels that it takes there
LETTER: Final = 7  # pixels, a letter of a label


def label_room(labels: Sequence[str] | None) -> int:
    """Pixels that the longest label takes beyond what an axis has room for anyway."""
    if labels is None:
        return 0
    longest = max(len(html.unescape(line)) for label in labels for line in label.split("<br>"))
    return max(0, LETTER * longest - 16)


def square_fits(
    rows: int, x_labels: Sequence[str] | None, y_labels: Sequence[str] | None, colour_title: str
) -> tuple[Fit, Fit]:
    """A wide and a narrow fit with square cells, a line of text high where they are labelled."""
    side = 400 if x_labels is None and y_labels is None else max(400, min(15 * rows, 740))
    under, beside = label_room(x_labels), label_room(y_labels)
    height = side + TOP + BOTTOM + under
    return (
        Fit(height=height, width=side + LEFT + RIGHT + beside, slope=1.0),
        Fit(
            height=height + BAR_BELOW,
            width=side + LEFT + RIGHT_NARROW + beside,
            slope=1.0,
            below=NARROW,
            layout=bar_underneath(colour_title, under),
        ),
    )


def flat_fit(rows: int, x_labels: Sequence[str] | None) -> Fit:
    """The fit of a matrix that is not square: as wide as the page allows, the bar at its right."""
    return Fit(height=flat_height(rows) + TOP + BOTTOM + label_room(x_labels))


def flat_height(rows: int) -> int:
    """Pixels of the cells of a matrix with this many rows, when it is not square."""
    return int(np.clip(26 * rows, 110, 620))


def bar_underneath(colour_title: str, under: int = 0) -> dict[str, Any]:
    """The layout that moves the colour bar below the plot, `under` pixels of labels included.

    Its title is an annotation: plotly misplaces the title of a bar that lies at the container's
    edge.
    """
    return {
        "margin": {"l": LEFT, "r": RIGHT_NARROW, "b": BOTTOM + BAR_BELOW + under},
        "coloraxis": {
            "colorbar": {
                "orientation": "h",
                "title": {"text": ""},
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0.5,
                "xanchor": "center",
            }
        },
        "annotations": [
            {
                "text": plain(colour_title),
                "xref": "paper",
                "yref": "paper",
                "x": 0.5,
                "y": 0,
                "yanchor": "top",
                "yshift": -(BOTTOM + under),
                "showarrow": False,
            }
        ],
    }
