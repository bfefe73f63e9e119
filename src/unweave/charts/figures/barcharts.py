"""Bars: one value a label, or one of each series; and counts of values in bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from unweave.charts import palette
from unweave.charts.figures.checks import (
    Floats,
    Number,
    interval,
    known_series,
    numbers,
    require,
    same_length,
)
from unweave.charts.figures.style import BOTTOM, NARROW, TOP, Fit, compose, distinct, log_axis, plain, wrapped

Interval = tuple[ArrayLike, ArrayLike]
_STANDING = 320 + TOP + BOTTOM  # pixels of height for vertical bars


def bars(
    labels: Sequence[str],
    values: ArrayLike | Mapping[str, ArrayLike],
    *,
    title: str,
    x_title: str,
    y_title: str,
    horizontal: bool = True,
    errors: Interval | Mapping[str, Interval] | None = None,
    log_x: bool = False,
    baseline: tuple[Number, str] | None = None,
) -> go.Figure:
    """One bar a label, the first at the top (or left), in the order given.

    Args:
        labels: one a bar; repeats stay apart.
        values: one a label, or series name to such values for grouped bars, which differ in
            colour and fill pattern. NaN leaves the bar out.
        title: what is seen.
        x_title: the horizontal axis with its unit.
        y_title: the vertical axis with its unit.
        horizontal: bars run from left to right, which leaves room for long labels.
        errors: (low, high) ends of an interval about each value; by series for grouped bars.
        log_x: a a logarithmic value axis, for horizontal bars. It has no zero, so that they start at
            the baseline, or without one at the axis' left edge: then only their ends count.
        baseline: (value, legend entry) of a reference line across all bars.

    Raises:
        InputError: lengths that differ, values that cannot be drawn, intervals of an unknown
            series, `log_x` with vertical bars.
    """
    require(
        horizontal or not log_x,
        wanted="horizontal bars with log_x",
        got="horizontal=False",
        remedy="use horizontal=True: the x axis of vertical bars holds labels",
    )
    groups = values if isinstance(values, Mapping) else {"": values}
    intervals = errors if isinstance(errors, Mapping) else ({} if errors is None else {"": errors})
    require(len(groups) > 0, wanted="at least one series", got="none", remedy="pass some values")
    known_series("errors", intervals, groups)
    level = None if baseline is None else numbers("the baseline", [baseline[0]], dims=1, log=log_x)
    extent: list[Floats] = [] if level is None else [level]
    shown = distinct(labels, 44)
    traces: list[Any] = []
    for index, (name, given) in enumerate(groups.items()):
        heights = numbers(f"values of {name!r}" if name else "values", given, dims=1, log=log_x)
        same_length(labels=shown, values=heights)
        extent.append(heights)
        bounds = None
        if name in intervals:
            bounds = interval(name or "values", intervals[name], len(shown), log=log_x)
            extent += bounds
        start = float(level[0]) if log_x and level is not None else None
        traces.append(_bar(index, name, shown, heights, bounds, start, horizontal=horizontal))
    legend = [name for name in groups if name]
    shapes: list[dict[str, Any]] = []
    if baseline is not None:
        legend.append(baseline[1])
        shapes.append(_reference(float(baseline[0]), baseline[1], horizontal=horizontal))
    wide, narrow = _fits(labels, shown, len(groups)) if horizontal else (Fit(_STANDING), None)
    value_axis = _value_axis(extent, log=log_x)
    label_axis: dict[str, Any] = {"type": "category", "showgrid": False, "ticks": ""}
    if horizontal:
        label_axis |= {"autorange": "reversed", "dtick": 1}
    return compose(
        traces,
        title=title,
        x_title=x_title,
        y_title=y_title,
        fit=wide,
        narrower=[narrow] if narrow else [],
        legend=legend,
        layout={
            "barmode": "group",
            "shapes": shapes,
            "xaxis" if horizontal else "yaxis": value_axis,
            "yaxis" if horizontal else "xaxis": label_axis,
        },
    )


def _fits(labels: Sequence[str], shown: Sequence[str], groups: int) -> tuple[Fit, Fit]:
    """A wide and a narrow fit of horizontal bars; on a phone their labels take more lines."""
    short = [wrapped(label, 24) for label in labels]
    labels_beside = {
        "tickmode": "array",
        "tickvals": shown,
        "ticktext": short,
        "tickfont": {"size": 11},
        "title": {"text": ""},
    }
    wide, narrow = (_height(text, groups) for text in (shown, short))
    return Fit(wide), Fit(narrow, below=NARROW, layout={"yaxis": labels_beside})


def _height(labels: Sequence[str], groups: int) -> int:
    """Pixels for horizontal bars: room between neighbours for their labels' lines, or the bars."""
    lines = [label.count("<br>") + 1 for label in labels]
    pair = max((above + below) / 2 for above, below in zip(lines, lines[1:] or lines, strict=False))
    row = max(round(8 + 14 * pair), 14 * groups)
    return max(120, row * len(labels)) + TOP + BOTTOM


def _bar(
    index: int,
    name: str,
    labels: list[str],
    values: Floats,
    bounds: tuple[Floats, Floats] | None,
    start: float | None,
    *,
    horizontal: bool,
) -> Any:
    along, across = ("x", "y") if horizontal else ("y", "x")
    lengths: dict[str, Any] = {along: values}
    if start is not None:
        lengths = {along: values - start, "base": start}
    error: dict[str, Any] = {}
    if bounds is not None:
        low, high = bounds
        error[f"error_{along}"] = {
            "type": "data",
            "symmetric": False,
            "array": high - values,
            "arrayminus": values - low,
            "thickness": 1.4,
            "width": 3,
            "color": palette.MARK,
        }
    return go.Bar(
        **lengths,
        **{across: labels},
        customdata=values,
        **error,
        name=plain(name),
        showlegend=bool(name),
        orientation="h" if horizontal else "v",
        marker={
            "color": palette.category(index),
            "pattern": {
                "shape": palette.pattern(index),
                "size": 6,
                "solidity": 0.25,
                "fillmode": "overlay",
            },
        },
        hovertemplate=f"%{{{across}}}: %{{customdata:.4g}}<extra>{plain(name)}</extra>",
    )


def _reference(level: float, name: str, *, horizontal: bool) -> dict[str, Any]:
    along, across = ("x", "y") if horizontal else ("y", "x")
    return {
        "type": "line",
        "name": plain(name),
        "showlegend": True,
        f"{across}ref": "paper",
        f"{across}0": 0,
        f"{across}1": 1,
        f"{along}0": level,
        f"{along}1": level,
        "line": {"color": palette.MARK, "width": 1.6, "dash": "dash"},
    }


def _value_axis(extent: Sequence[Floats], *, log: bool) -> dict[str, Any]:
    """A log axis is given its range: bars have no zero there to start from."""
    if not log:
        return {"rangemode": "tozero"}
    logs = np.log10(np.concatenate(list(extent)))
    low, high = float(logs.min()), float(logs.max())
    edge = max(0.08, 0.06 * (high - low))
    return {**log_axis(low, high), "range": [low - 2 * edge, high + edge]}


def histogram(
    values: ArrayLike | Mapping[str, ArrayLike],
    *,
    title: str,
    x_title: str,
    y_title: str = "count",
    bins: int = 40,
) -> go.Figure:
    """How often values fall into equal bins, the same bins for every series.

    Args:
        values: 1-D, or series name to such values; NaN is left out.
        title: what is seen.
        x_title: the values with their unit.
        y_title: what is counted.
        bins: how many.

    Raises:
        InputError: no values, values that are not finite, or no bins.
    """
    groups = values if isinstance(values, Mapping) else {"": values}
    require(
        len(groups) > 0 and bins > 0,
        wanted="at least one series and one bin",
        got=f"{len(groups)} series and {bins} bins",
        remedy="pass some of each",
    )
    arrays = {name: numbers(name or "values", given, dims=1) for name, given in groups.items()}
    arrays = {name: array[~np.isnan(array)] for name, array in arrays.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins=bins)
    centres, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    traces = [
        go.Bar(
            x=centres,
            y=np.histogram(array, bins=edges)[0],
            width=width,
            name=plain(name),
            marker={"color": palette.category(i), "pattern": {"shape": palette.pattern(i), "size": 6}},
            opacity=0.75 if len(arrays) > 1 else 1,
            hovertemplate="%{x:.4g}: %{y}",
        )
        for i, (name, array) in enumerate(arrays.items())
    ]
    return compose(
        traces,
        title=title,
        x_title=x_title,
        y_title=y_title,
        fit=Fit(height=340),
        legend=[name for name in arrays if name],
        layout={"barmode": "overlay", "bargap": 0},
    )
