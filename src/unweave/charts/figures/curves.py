"""Curves over steps or positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from unweave.charts import palette
from unweave.charts.figures.checks import Floats, interval, known_series, numbers, require, same_length
from unweave.charts.figures.style import NARROW, Fit, compose, log_axis, plain

FEW = 40  # points: up to this many, each is drawn with its marker


def lines(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    log_y: bool = False,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    marks: tuple[ArrayLike, ArrayLike, str] | None = None,
) -> go.Figure:
    """One curve for each name, told apart by colour, dash and (up to 40 points) marker.

    Args:
        series: name to (x, y), each 1-D and of one length; NaN leaves a gap on a linear axis.
        title: what is seen.
        x_title: the axis with its unit.
        y_title: the axis with its unit.
        log_y: a logarithmic y axis.
        bands: series name to (low, high), drawn as a shaded band about that curve.
        marks: (x, y, legend entry) of points drawn as open diamonds, such as loss spikes.

    Raises:
        InputError: no series, lengths that differ, values that cannot be drawn, a band of an
            unknown series.
    """
    require(
        len(series) > 0,
        wanted="at least one series",
        got="none",
        remedy="pass a mapping of name to (x, y)",
    )
    bands = bands or {}
    known_series("bands", bands, series)
    traces: list[Any] = []
    curves: list[Any] = []
    heights: list[Floats] = []
    for index, (name, (x, y)) in enumerate(series.items()):
        xs = numbers(f"x of {name!r}", x, dims=1)
        ys = numbers(f"y of {name!r}", y, dims=1, log=log_y)
        same_length(x=xs, y=ys)
        if name in bands:
            traces.append(_band(index, name, xs, bands[name], log=log_y))
        heights.append(ys)
        curves.append(_curve(index, name, xs, ys))
    traces += curves
    names = list(series)
    if marks is not None:
        traces.append(_marks(marks, log=log_y))
        names.append(marks[2])
    return compose(
        traces,
        title=title,
        x_title=x_title,
        y_title=y_title,
        legend=names if len(names) > 1 else [],
        fit=Fit(height=400),
        narrower=[Fit(height=340, below=NARROW)],
        layout={"yaxis": _log_range(heights) if log_y else {}, "hovermode": "closest"},
    )


def _log_range(heights: list[Floats]) -> dict[str, Any]:
    return log_axis(
        float(np.log10(min(float(one.min()) for one in heights))),
        float(np.log10(max(float(one.max()) for one in heights))),
    )


def _curve(index: int, name: str, x: Floats, y: Floats) -> Any:
    colour = palette.category(index)
    return go.Scatter(
        x=x,
        y=y,
        name=plain(name),
        legendgroup=plain(name),
        mode="lines+markers" if len(x) <= FEW else "lines",
        line={"color": colour, "width": 2, "dash": palette.dash(index)},
        marker={"color": colour, "size": 7, "symbol": palette.symbol(index)},
        hovertemplate="%{x}: %{y:.4g}",
    )


def _band(index: int, name: str, x: Floats, bounds: object, *, log: bool) -> Any:
    low, high = interval(f"band {name!r}", bounds, len(x), log=log)
    known = ~(np.isnan(low) | np.isnan(high) | np.isnan(x))
    x, low, high = x[known], low[known], high[known]
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        name=plain(name),
        legendgroup=plain(name),
        showlegend=False,
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=palette.category(index),
        opacity=0.2,
        hoverinfo="skip",
    )


def _marks(marks: tuple[ArrayLike, ArrayLike, str], *, log: bool) -> Any:
    xs = numbers("x of the marks", marks[0], dims=1)
    ys = numbers("y of the marks", marks[1], dims=1, log=log)
    same_length(x=xs, y=ys)
    return go.Scatter(
        x=xs,
        y=ys,
        name=plain(marks[2]),
        mode="markers",
        marker={"symbol": "diamond-open", "size": 9, "color": palette.MARK, "line": {"width": 1.6}},
        hovertemplate="%{x}: %{y:.4g}",
    )
