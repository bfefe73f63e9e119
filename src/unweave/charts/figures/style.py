"""The look that all figures share: fonts, axes, room for title and legend, how they fit a page.

Nothing here touches plotly's global templates: a figure carries its own. Backgrounds are
transparent and the text a grey that reads on white and on dark; the page writer recolours both.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import plotly.graph_objects as go

from unweave.charts import palette
from unweave.charts.figures.checks import require

FONT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
CLEAR: Final = "rgba(0,0,0,0)"
LINE: Final = 20  # pixels, a line of text with its leading
NARROW: Final = 560  # pixels: below this a figure is on a phone
TOP: Final = 14  # pixels above the plot when there is neither title nor legend
BOTTOM: Final = 56  # pixels below it, for tick labels and the axis title

_PIECE: Final = re.compile(r"[^\s._/-]*[\s._/-]+|[^\s._/-]+")  # up to where a line may break


@dataclass(frozen=True)
class Fit:
    """How a figure fits a container: `height - slope * (width - container width)` pixels high.

    Attributes:
        height: pixels, at the width it was designed for.
        width: pixels it was designed for, and its greatest width; None for any width.
        slope: pixels of height lost for each pixel of width missing (1 for square plots).
        below: container width in pixels below which this fit holds; None for the widest.
        layout: what else changes, as plotly layout paths.
    """

    height: int
    width: int | None = None
    slope: float = 0.0
    below: int | None = None
    layout: Mapping[str, Any] = field(default_factory=dict[str, Any])


def plain(text: str) -> str:
    """`text` so that plotly draws it as it stands: no tag in it is taken for markup."""
    return html.escape(_on_one_line(text), quote=False)


def wrapped(text: str, width: int) -> str:
    """`plain` text, broken into lines of at most `width` characters where it is longer.

    Lines break after a blank, dot, hyphen, slash or underscore, as hook names want it, and
    within a word only where it is longer than a line.
    """
    text = _on_one_line(text)
    if len(text) <= width:
        return plain(text)
    lines = [""]
    for piece in _PIECE.findall(text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    broken = [line[at : at + width] for line in lines for at in range(0, len(line.rstrip()), width)]
    return "<br>".join(plain(line.strip()) for line in broken)


def _on_one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\t", "\\t")


def distinct(labels: Sequence[str], width: int = 34) -> list[str]:
    """Labels for a category axis: wrapped, and repeats told apart by zero-width spaces.

    plotly merges equal categories into one, which would lose rows when a token occurs twice.
    """
    seen: dict[str, int] = {}
    out: list[str] = []
    for label in labels:
        shown = wrapped(label, width)
        seen[shown] = seen.get(shown, -1) + 1
        out.append(shown + "\u200b" * seen[shown])
    return out


def legend_height(names: Sequence[str], width: int) -> int:
    """Pixels that a horizontal legend of these names takes at `width` pixels."""
    if not names:
        return 0
    rows, room = 1, width
    for name in names:
        item = 50 + 7 * len(name)
        if item > room:
            rows, room = rows + 1, width
        room -= item
    return rows * LINE + 6


def compose(
    traces: Sequence[Any],
    *,
    title: str,
    x_title: str,
    y_title: str,
    fit: Fit,
    legend: Sequence[str] = (),
    narrower: Sequence[Fit] = (),
    layout: Mapping[str, Any] | None = None,
) -> go.Figure:
    """A figure in the house style.

    Args:
        traces: plotly traces, drawn in order.
        title: a sentence saying what is seen; required.
        x_title: the axis with its unit.
        y_title: the axis with its unit.
        fit: its height without title and legend, for which room is added here.
        legend: the names in the legend, which is drawn above the plot; none for no legend.
        narrower: how it fits containers `below` some width, narrowest first; the same as `fit`
            by default.
        layout: further plotly layout.

    Raises:
        InputError: an empty title.
    """
    for name, text in (("title", title), ("x_title", x_title), ("y_title", y_title)):
        require(
            bool(text.strip()),
            wanted=f"a {name}",
            got=repr(text),
            remedy="say what is seen, with its unit on an axis",
        )
    title_lines = wrapped(title, int((fit.width or 740) / 9))
    title_px = 20 + 22 * (title_lines.count("<br>") + 1)
    room = legend_height(legend, 740)
    narrow_room = legend_height(legend, 280)
    fits = [
        *(replace(one, height=one.height + narrow_room) for one in narrower or [replace(fit, below=NARROW)]),
        replace(fit, height=fit.height + room),
    ]
    figure = go.Figure(data=list(traces), layout={"template": _template()})
    figure.update_layout(
        title={"text": title_lines},
        height=fit.height + room + title_px,
        width=fit.width,
        margin={"l": 64, "r": 18, "t": TOP + room + title_px, "b": BOTTOM},
        showlegend=bool(legend),
        meta={"title": title, "title_px": title_px, "fits": [asdict(one) for one in fits]},
        xaxis={"title": {"text": plain(x_title)}},
        yaxis={"title": {"text": plain(y_title)}},
    )
    figure.update_layout(layout or {})
    return figure


def _template() -> dict[str, Any]:
    """The template each figure carries; a fresh dictionary, so that none shares state."""
    axis: dict[str, Any] = {
        "automargin": True,
        "gridcolor": "rgba(127,127,127,0.22)",
        "linecolor": "rgba(127,127,127,0.6)",
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "rgba(127,127,127,0.6)",
        "zeroline": False,
        "title": {"standoff": 10, "font": {"size": 13}},
        "exponentformat": "power",
    }
    return {
        "layout": {
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "font": {"family": FONT, "size": 13, "color": palette.NEUTRAL},
            "title": {
                "x": 0,
                "xref": "container",
                "xanchor": "left",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "pad": {"t": 14, "l": 14},
                "font": {"size": 16},
            },
            "colorway": list(palette.CATEGORIES),
            "xaxis": axis,
            "yaxis": axis,
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
                "bgcolor": CLEAR,
                "tracegroupgap": 0,
            },
            "hoverlabel": {"align": "left"},
            "modebar": {"bgcolor": CLEAR, "color": palette.NEUTRAL},
            "bargap": 0.28,
        }
    }


def log_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with plain numbers (0.01, 0.1, 1) for values of 10**low to 10**high.

    Two decades or more are labelled at powers of ten, fewer at 1, 2 and 5 times them, and less
    than half a decade wherever plotly sees fit.
    """
    decades = high - low
    if decades < 0.5:
        return {"type": "log"}
    step: str | int = "D2" if decades < 2 else max(1, round(decades / 8))
    minor = {"dtick": "D1", "showgrid": False, "ticks": "outside", "ticklen": 2}
    return {
        "type": "log",
        "dtick": step,
        "tickformat": "~g",
        "minor": minor if decades < 6 else {},
    }


def colour_bar(title: str, length: int, **more: Any) -> dict[str, Any]:
    """A slim colour bar at the right with its title alongside, wrapped to `length` pixels."""
    return {
        "title": {"text": wrapped(title, max(14, length // 8)), "side": "right", "font": {"size": 13}},
        "thickness": 14,
        "outlinewidth": 0,
        "ticklen": 4,
        "ticks": "outside",
        **more,
    }
