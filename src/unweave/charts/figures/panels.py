"""A grid of small panels: where each lies, at what width, and how tall the whole becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unweave.charts.figures.cells import CELL_AXIS
from unweave.charts.figures.style import BOTTOM, TOP, Fit, plain, wrapped

GAP = 16  # pixels between panels of one row


def grid(
    subtitles: Sequence[str],
    *,
    columns: int,
    width: int,
    around: int,
    aspect: float,
    x_title: str,
    y_title: str,
    below: int | None = None,
    under: int = 0,
    layout: dict[str, Any] | None = None,
) -> Fit:
    """The layout of one panel for each subtitle, filling rows of `columns` from the top left.

    Args:
        subtitles: one a panel, written above it.
        columns: panels in a row.
        width: pixels of the whole figure.
        around: pixels of that at the left and right of the panels.
        aspect: height of a panel over its width.
        x_title: written once, under the panels.
        y_title: written once, beside them.
        below: container width in pixels below which this layout holds.
        under: further pixels under the axis title.
        layout: further plotly layout for this width.
    """
    rows = -(-len(subtitles) // columns)
    inner = width - around
    panel = (inner - (columns - 1) * GAP) / columns
    captions = [wrapped(subtitle, max(12, int(panel / 6.4))) for subtitle in subtitles]
    heads = [_head(captions[row * columns : (row + 1) * columns]) for row in range(rows)]
    tops = [sum(heads[: row + 1]) + row * panel * aspect for row in range(rows)]
    plot = tops[-1] + panel * aspect
    out: dict[str, Any] = {**(layout or {})}
    out["annotations"] = [*out.get("annotations", []), *_axis_titles(x_title, y_title)]
    for index, caption in enumerate(captions):
        row, column = divmod(index, columns)
        key = "" if index == 0 else str(index + 1)
        left = column * (panel + GAP) / inner
        top = 1 - tops[row] / plot
        lowest = index + columns >= len(captions)
        out[f"xaxis{key}"] = {
            **CELL_AXIS,
            "domain": [left, min(1.0, left + panel / inner)],
            "anchor": f"y{key}",
            "showticklabels": lowest,
            "constrain": "domain",
            "title": {"text": ""},
        }
        out[f"yaxis{key}"] = {
            **CELL_AXIS,
            "domain": [max(0.0, top - panel * aspect / plot), top],
            "anchor": f"x{key}",
            "showticklabels": column == 0,
            "autorange": "reversed",
            "scaleanchor": f"x{key}",
            "constrain": "domain",
            "constraintoward": "top",
            "title": {"text": ""},
        }
        out["annotations"].append(_caption(caption, key))
    return Fit(
        height=round(plot) + TOP + BOTTOM + under,
        width=width,
        slope=rows * aspect / columns,
        below=below,
        layout=out,
    )


def _head(captions: Sequence[str]) -> int:
    """Pixels above one row of panels: its captions and a gap."""
    return 14 + 15 * max(caption.count("<br>") + 1 for caption in captions)


def _caption(text: str, key: str) -> dict[str, Any]:
    return {
        "text": text,
        "xref": f"x{key} domain",
        "yref": f"y{key} domain",
        "x": 0.5,
        "y": 1,
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12},
    }


def _axis_titles(x_title: str, y_title: str) -> list[dict[str, Any]]:
    both: dict[str, Any] = {"xref": "paper", "yref": "paper", "showarrow": False}
    return [
        {**both, "text": plain(x_title), "x": 0.5, "y": 0, "yanchor": "top", "yshift": -26},
        {
            **both,
            "text": plain(y_title),
            "x": 0,
            "y": 0.5,
            "xanchor": "right",
            "xshift": -34,
            "textangle": -90,
        },
    ]
