"""What was measured at a run's checkpoints, over its steps, with the loss curve aligned below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from unweave.charts import palette
from unweave.charts.figures.cells import CELL_AXIS, Labels, cells, coordinates
from unweave.charts.figures.checks import Floats, numbers, require, same_length
from unweave.charts.figures.scales import colour_scale
from unweave.charts.figures.style import BOTTOM, NARROW, TOP, Fit, compose, log_axis

UPPER, LOWER = 330, 130  # pixels of what was measured, and of the loss
BETWEEN, SLIDER = 66, 96  # between the two, and for the slider under both


def over_steps(
    steps: Sequence[int],
    values: ArrayLike,
    *,
    loss: tuple[ArrayLike, ArrayLike],
    spikes: tuple[ArrayLike, ArrayLike] = ((), ()),
    title: str,
    value_title: str,
    x_title: str = "",
    y_title: str = "",
    x: Labels | None = None,
    y: Labels | None = None,
) -> go.Figure:
    """Numbers as a curve over steps; arrays and matrices one step at a time, chosen by a slider.

    Every step has the same axis or colour scale, so that steps can be compared.

    Args:
        steps: updates that were done at each checkpoint, rising.
        values: [step], [step, x] or [step, row, column]; row 0 is at the top.
        loss: (step, loss in nats) of the whole run, drawn on a logarithmic axis.
        spikes: likewise, points of it to mark.
        title: what is seen.
        value_title: what the values are, with the unit.
        x_title: what the entries, or the columns, are.
        y_title: what the rows are.
        x: labels or coordinates of the entries, or the columns.
        y: those of the rows.

    Raises:
        InputError: for values of another number of dimensions or steps, steps that do not rise, or a
            loss that a logarithmic axis cannot show.
    """
    frames = np.asarray(values, dtype=np.float64)
    require(
        1 <= frames.ndim <= 3,
        wanted="a number, a row or a matrix a step",
        got=f"{frames.ndim - 1} dimensions a step",
        remedy="pick labels with dynamics.sel(...)",
    )
    same_length(steps=list(steps), values=list(frames))
    require(
        all(before < after for before, after in pairwise(steps)),
        wanted="steps that rise",
        got=str(list(steps)),
        remedy="sort steps and values together",
    )
    curve = _loss_curve(loss, spikes)
    if frames.ndim == 1:
        return _curve_over_steps(steps, frames, curve, title=title, value_title=value_title)
    names = {"x_title": x_title or "index", "y_title": y_title or "row", "value_title": value_title}
    drawn, axes = (_rows if frames.ndim == 2 else _matrices)(frames, x, y, **names)
    at = _marks(steps, loss)
    shown = len(steps) - 1
    for index, (frame, mark) in enumerate(zip(drawn, at, strict=True)):
        frame.visible = mark.visible = index == shown
    return compose(
        [*drawn, *at, *curve],
        title=title,
        x_title=names["x_title"],
        y_title=names["y_title"] if frames.ndim == 3 else value_title,
        fit=_fit(SLIDER),
        narrower=[_fit(SLIDER, below=NARROW)],
        layout=_merged(_below(curve), {**axes, "sliders": [_slider(steps, len(curve), shown)]}),
    )


def _curve_over_steps(
    steps: Sequence[int], values: Floats, curve: list[Any], *, title: str, value_title: str
) -> go.Figure:
    colour = palette.category(0)
    above = go.Scatter(
        x=list(steps),
        y=numbers("values", values, dims=1),
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"color": colour, "size": 7},
        hovertemplate="after %{x} steps: %{y:.4g}<extra></extra>",
    )
    # Both rows have the run's steps under them.
    together = {"xaxis": {"matches": "x2", "showticklabels": False, "title": {"text": ""}}}
    return compose(
        [above, *curve],
        title=title,
        x_title="step",
        y_title=value_title,
        fit=_fit(0),
        narrower=[_fit(0, below=NARROW)],
        layout=_merged(_below(curve), together),
    )


def _rows(
    frames: Floats, x: Labels | None, y: Labels | None, *, x_title: str, y_title: str, value_title: str
) -> tuple[list[Any], dict[str, Any]]:
    xs, axis = coordinates("x", x, frames.shape[1])
    low, high = float(np.nanmin(frames)), float(np.nanmax(frames))
    room = 0.05 * (high - low or 1.0)
    colour = palette.category(0)
    drawn = [
        go.Scatter(
            x=list(range(frames.shape[1])) if xs is None else xs,
            y=frame,
            mode="lines+markers" if not isinstance(xs, list) else "markers",
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 7},
            hovertemplate="%{x}: %{y:.4g}<extra></extra>",
        )
        for frame in frames
    ]
    return drawn, {"xaxis": axis, "yaxis": {"range": [low - room, high + room]}}


def _matrices(
    frames: Floats, x: Labels | None, y: Labels | None, *, x_title: str, y_title: str, value_title: str
) -> tuple[list[Any], dict[str, Any]]:
    diverging = bool(np.nanmin(frames) < 0 < np.nanmax(frames))
    scale = colour_scale(list(frames), diverging=diverging)
    (xs, x_axis), (ys, y_axis) = coordinates("x", x, frames.shape[2]), coordinates("y", y, frames.shape[1])
    drawn = [
        cells(frame, scale, xs, ys, x_title=x_title, y_title=y_title, value=value_title) for frame in frames
    ]
    square = {"scaleanchor": "x"} if frames.shape[1] == frames.shape[2] else {}
    colours = scale.axis(value_title, UPPER)
    colours["colorbar"] |= {"len": UPPER, "lenmode": "pixels", "y": 1, "yanchor": "top"}
    fixed = {**CELL_AXIS, "constrain": "domain"}
    return drawn, {
        "coloraxis": colours,
        "xaxis": {**fixed, **x_axis},
        "yaxis": {**fixed, **y_axis, **square, "autorange": "reversed", "constraintoward": "top"},
    }


def _loss_curve(loss: tuple[ArrayLike, ArrayLike], spikes: tuple[ArrayLike, ArrayLike]) -> list[Any]:
    xs, ys = numbers("steps of the loss", loss[0], dims=1), numbers("the loss", loss[1], dims=1, log=True)
    same_length(steps=xs, loss=ys)
    below: dict[str, Any] = {
        "xaxis": "x2",
        "yaxis": "y2",
        "hovertemplate": "step %{x}: %{y:.4g} nats<extra></extra>",
    }
    traces = [go.Scatter(x=xs, y=ys, mode="lines", line={"color": palette.NEUTRAL, "width": 1.2}, **below)]
    if len(np.asarray(spikes[0])):
        mark = {"symbol": "diamond-open", "size": 9, "color": palette.category(1), "line": {"width": 1.6}}
        traces.append(
            go.Scatter(x=np.asarray(spikes[0]), y=np.asarray(spikes[1]), mode="markers", marker=mark, **below)
        )
    return traces


def _marks(steps: Sequence[int], loss: tuple[ArrayLike, ArrayLike]) -> list[Any]:
    """For each checkpoint a vertical line through the loss curve, at the step that is shown above."""
    heights = numbers("the loss", loss[1], dims=1, log=True)
    ends = [float(heights.min()), float(heights.max())]
    line = {"color": palette.MARK, "width": 1.6}
    return [
        go.Scatter(x=[step, step], y=ends, mode="lines", line=line, xaxis="x2", yaxis="y2", hoverinfo="skip")
        for step in steps
    ]


def _below(curve: list[Any]) -> dict[str, Any]:
    """The two rows: what was measured above, the loss below."""
    whole = UPPER + BETWEEN + LOWER
    last = float(np.max(np.asarray(curve[0].x))) + 1
    low, high = (float(np.log10(end(np.asarray(curve[0].y)))) for end in (np.min, np.max))
    spiked = "loss (nats); ◇ spikes" if len(curve) > 1 else "loss (nats)"
    return {
        "xaxis": {"domain": [0, 1], "anchor": "y"},
        "yaxis": {"domain": [1 - UPPER / whole, 1], "anchor": "x"},
        "xaxis2": {
            "domain": [0, 1],
            "anchor": "y2",
            "title": {"text": "step"},
            "range": [-0.02 * last, 1.02 * last],
        },
        "yaxis2": {
            "domain": [0, LOWER / whole],
            "anchor": "x2",
            "title": {"text": spiked},
            **log_axis(low, high),
        },
    }


def _slider(steps: Sequence[int], others: int, shown: int) -> dict[str, Any]:
    """Chooses which checkpoint's traces are seen; the last `others` always are."""
    each = [
        {
            "label": str(step),
            "method": "restyle",
            "args": [{"visible": 2 * [index == at for at in range(len(steps))] + others * [True]}],
        }
        for index, step in enumerate(steps)
    ]
    return {
        "active": shown,
        "steps": each,
        "currentvalue": {"prefix": "after step ", "font": {"size": 14}},
        "pad": {"t": BOTTOM, "l": 0, "r": 0},
        "x": 0,
        "len": 1,
        "y": 0,
        "bgcolor": "rgba(127,127,127,0.35)",
        "activebgcolor": palette.category(0),
        "bordercolor": "rgba(127,127,127,0.6)",
        "tickcolor": "rgba(127,127,127,0.6)",
    }


def _fit(extra: int, below: int | None = None) -> Fit:
    return Fit(
        height=TOP + UPPER + BETWEEN + LOWER + BOTTOM + extra,
        below=below,
        layout={"margin": {"b": BOTTOM + extra}},
    )


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both, axis by axis; where both say something, the second does."""
    both = {**first, **second}
    return both | {key: {**first[key], **second[key]} for key in first.keys() & second.keys()}
