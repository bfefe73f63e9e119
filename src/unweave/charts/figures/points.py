"""Points: one a head, a component or a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from unweave.charts import palette
from unweave.charts.figures.checks import Floats, numbers, require, same_length
from unweave.charts.figures.scales import colour_scale
from unweave.charts.figures.style import Fit, compose, plain


def scatter(
    x: ArrayLike,
    y: ArrayLike,
    *,
    title: str,
    x_title: str,
    y_title: str,
    trace_name: str,
    colour: ArrayLike | Sequence[str] | None = None,
    colour_title: str | None = None,
    diverging: bool = False,
    text: Sequence[str] | None = None,
) -> go.Figure:
    """Points at (x, y), coloured by a number or told apart by a category.

    Args:
        x: 1-D.
        y: 1-D, of the same length.
        title: what is seen.
        x_title: the axis with its unit.
        y_title: the axis with its unit.
        trace_name: what one point is, shown when hovering.
        colour: a number a point (with a colour bar), or a category name a point (colour and
            symbol, with a legend).
        colour_title: what the numbers are, with the unit; required with numbers.
        diverging: numbers below zero blue, above orange.
        text: a label a point, shown when hovering.

    Raises:
        InputError: lengths that differ, values that cannot be drawn, numbers without a title.
    """
    xs, ys = numbers("x", x, dims=1), numbers("y", y, dims=1)
    same_length(x=xs, y=ys)
    hover = [plain(label) for label in text] if text is not None else [""] * len(xs)
    same_length(x=xs, text=hover)
    layout: dict[str, Any] = {"hovermode": "closest"}
    legend: list[str] = []
    if colour is None:
        traces = [_points(xs, ys, hover, trace_name, {"color": palette.category(0)})]
    elif all(isinstance(one, str) for one in list(colour)):  # pyright: ignore[reportArgumentType]
        names = np.asarray(colour, dtype=object)
        same_length(x=xs, colour=names)
        legend = list(dict.fromkeys(names))
        traces = [
            _points(
                xs[names == name],
                ys[names == name],
                [label for label, one in zip(hover, names, strict=True) if one == name],
                name,
                {"color": palette.category(index), "symbol": palette.symbol(index)},
            )
            for index, name in enumerate(legend)
        ]
    else:
        shades = numbers("colour", colour, dims=1)
        same_length(x=xs, colour=shades)
        require(
            bool(colour_title),
            wanted="colour_title with numbers as colour",
            got="none",
            remedy="say what the numbers are, with their unit",
        )
        scale = colour_scale([shades], diverging=diverging)
        layout["coloraxis"] = scale.axis(colour_title or "", 400)
        marker = {"color": shades, "coloraxis": "coloraxis"}
        traces = [_points(xs, ys, hover, trace_name, marker, extra=colour_title or "")]
    return compose(
        traces,
        title=title,
        x_title=x_title,
        y_title=y_title,
        legend=legend,
        fit=Fit(height=420),
        layout=layout,
    )


def _points(x: Floats, y: Floats, text: list[str], name: str, marker: dict[str, Any], extra: str = "") -> Any:
    shade = f"<br>{plain(extra)}: %{{marker.color:.4g}}" if extra else ""
    return go.Scatter(
        x=x,
        y=y,
        text=text,
        name=plain(name),
        mode="markers",
        marker={"size": 10, "line": {"width": 0.5, "color": palette.NEUTRAL}, **marker},
        hovertemplate=f"%{{text}}<br>%{{x:.4g}}, %{{y:.4g}}{shade}<extra>{plain(name)}</extra>",
    )
