"""Matrices as colour: one heatmap, or several under one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from numpy.typing import ArrayLike

from unweave.charts.figures.cells import (
    CELL_AXIS,
    Labels,
    cells,
    coordinates,
    labels_of,
    masked,
    require_one_shape,
)
from unweave.charts.figures.checks import Number, require
from unweave.charts.figures.fitting import (
    BAR_BELOW,
    LEFT,
    RIGHT,
    RIGHT_NARROW,
    bar_underneath,
    flat_fit,
    flat_height,
    square_fits,
)
from unweave.charts.figures.panels import grid
from unweave.charts.figures.scales import colour_scale
from unweave.charts.figures.style import compose


def heatmap(
    values: ArrayLike,
    *,
    title: str,
    x_title: str,
    y_title: str,
    colour_title: str,
    diverging: bool = False,
    x: Labels | None = None,
    y: Labels | None = None,
    mask_upper: bool = False,
    log: bool = False,
    limits: tuple[Number, Number] | None = None,
) -> go.Figure:
    """A matrix, row 0 at the top, as an attention pattern is read (query down, key across).

    Cells are square where the matrix is. NaN shows as an empty cell.

    Args:
        values: [rows, columns].
        title: what is seen.
        x_title: what the columns are, with the unit.
        y_title: what the rows are, with the unit.
        colour_title: what the values are, with the unit.
        diverging: blue below zero, orange above, with limits symmetric about zero.
        x: column labels or coordinates; 0, 1, ... by default.
        y: row labels or coordinates.
        mask_upper: leave the cells above the diagonal empty (keys after the query).
        log: colours follow log10 of the values, which are then all above zero.
        limits: the values of the first and the last colour; the values' own range by default.

    Raises:
        InputError: not a matrix, labels of another length, zeros or negatives with `log`.
    """
    matrix = masked(values, mask_upper=mask_upper)
    scale = colour_scale([matrix], diverging=diverging, log=log, limits=limits)
    rows, columns = matrix.shape
    xs, x_axis = coordinates("x", x, columns)
    ys, y_axis = coordinates("y", y, rows)
    square = rows == columns
    anchor: dict[str, Any] = {"scaleanchor": "x", "constraintoward": "top"} if square else {}
    fixed: dict[str, Any] = {**CELL_AXIS, "constrain": "domain"}
    x_labels, y_labels = labels_of(xs), labels_of(ys)
    if square:
        wide, *narrower = square_fits(rows, x_labels, y_labels, colour_title)
    else:
        wide, narrower = flat_fit(rows, x_labels), []
    return compose(
        [cells(matrix, scale, xs, ys, x_title=x_title, y_title=y_title, value=colour_title)],
        title=title,
        x_title=x_title,
        y_title=y_title,
        fit=wide,
        narrower=narrower,
        layout={
            "coloraxis": scale.axis(colour_title, 400 if square else flat_height(rows)),
            "xaxis": {**fixed, **x_axis},
            "yaxis": {**fixed, **y_axis, **anchor, "autorange": "reversed"},
        },
    )


def small_multiples(
    panels: Sequence[tuple[str, ArrayLike]],
    *,
    title: str,
    x_title: str,
    y_title: str,
    colour_title: str,
    columns: int = 4,
    diverging: bool = False,
    mask_upper: bool = False,
    log: bool = False,
    limits: tuple[Number, Number] | None = None,
) -> go.Figure:
    """Matrices of one shape side by side under one colour scale, row 0 at the top of each.

    Args:
        panels: (subtitle, [rows, columns]) in reading order.
        title: what is seen.
        x_title: what the columns are; written once, under the panels.
        y_title: what the rows are; written once, beside them.
        colour_title: what the values are, with the unit.
        columns: panels in a row on a wide page; at most two on a phone.
        diverging: blue below zero, orange above.
        mask_upper: leave the cells above each diagonal empty.
        log: colours follow log10 of the values.
        limits: the values of the first and the last colour; the joint range by default.

    Raises:
        InputError: no panels, matrices of different shapes, or values that cannot be drawn.
    """
    require(
        len(panels) > 0 and columns > 0,
        wanted="at least one panel and one column",
        got=f"{len(panels)} panels in {columns} columns",
        remedy="pass (subtitle, matrix) pairs",
    )
    matrices = [masked(values, mask_upper=mask_upper) for _, values in panels]
    require_one_shape(matrices)
    scale = colour_scale(matrices, diverging=diverging, log=log, limits=limits)
    traces = [
        cells(
            matrix,
            scale,
            None,
            None,
            x_title=x_title,
            y_title=y_title,
            value=colour_title,
            axis="" if index == 0 else str(index + 1),
            name=subtitle,
        )
        for index, ((subtitle, _), matrix) in enumerate(zip(panels, matrices, strict=True))
    ]
    subtitles = [subtitle for subtitle, _ in panels]
    aspect = matrices[0].shape[0] / matrices[0].shape[1]
    across = min(columns, len(panels))
    wide = grid(
        subtitles,
        columns=across,
        width=min(900, LEFT + RIGHT + across * 300),
        around=LEFT + RIGHT,
        aspect=aspect,
        x_title=x_title,
        y_title=y_title,
    )
    tablet = grid(
        subtitles,
        columns=min(across, 3),
        width=640,
        around=LEFT + RIGHT,
        aspect=aspect,
        below=720,
        x_title=x_title,
        y_title=y_title,
    )
    phone = grid(
        subtitles,
        columns=min(across, 2),
        width=380,
        around=LEFT + RIGHT_NARROW,
        aspect=aspect,
        below=440,
        under=BAR_BELOW,
        layout=bar_underneath(colour_title),
        x_title=x_title,
        y_title=y_title,
    )
    bar = {"coloraxis": scale.axis(colour_title, wide.height)}
    return compose(
        traces,
        x_title=x_title,
        y_title=y_title,
        title=title,
        fit=wide,
        narrower=[phone, tablet],
        layout={**bar, **wide.layout},
    )
