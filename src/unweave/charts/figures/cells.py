"""What every heatmap is made of: masked cells, coordinates, and one plotly trace of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from unweave.charts.figures.checks import Floats, Number, numbers, require, same_length
from unweave.charts.figures.scales import ColourScale
from unweave.charts.figures.style import distinct, plain

Labels = Sequence[str] | Sequence[Number] | NDArray[np.generic]

FEW: Final = 16  # cells: up to this many, every index is written

#: A heatmap's axis has neither grid nor line: the cells are its edge.
CELL_AXIS: Final[dict[str, Any]] = {
    "showgrid": False,
    "showline": False,
    "ticks": "",
    "ticklabelstandoff": 4,
}


def masked(values: ArrayLike, *, mask_upper: bool) -> Floats:
    """`values` [rows, columns] as float64, NaN where the cell is to stay empty.

    Raises:
        InputError: not a matrix, or nothing left to draw.
    """
    matrix = numbers("values", values, dims=2).copy()
    if mask_upper:
        matrix[np.triu_indices_from(matrix, k=1)] = np.nan
    require(
        not np.isnan(matrix).all(),
        wanted="a cell to draw",
        got="only empty ones",
        remedy="use mask_upper=False, or pass values on or below the diagonal",
    )
    return matrix


def coordinates(
    name: str, labels: Labels | None, length: int
) -> tuple[list[str] | Floats | None, dict[str, Any]]:
    """Cell coordinates along one axis, with the plotly axis settings that they need.

    Raises:
        InputError: another number of labels than cells, or coordinates that are not numbers.
    """
    if labels is None:
        return None, {"dtick": 1} if length <= FEW else {}
    entries = list(labels)
    same_length(cells=range(length), **{f"{name} labels": entries})
    if not all(isinstance(label, str) for label in entries):
        return numbers(f"{name} coordinates", np.asarray(entries), dims=1), {}
    return distinct([str(label) for label in entries], width=24), {"type": "category"}


def labels_of(coordinates: list[str] | Floats | None) -> list[str] | None:
    """The coordinates if they are words, whose length the figure makes room for."""
    return coordinates if isinstance(coordinates, list) else None


def cells(
    matrix: Floats,
    scale: ColourScale,
    x: list[str] | Floats | None,
    y: list[str] | Floats | None,
    *,
    x_title: str,
    y_title: str,
    value: str,
    axis: str = "",
    name: str = "",
) -> go.Heatmap:
    """One heatmap trace; hovering gives row, column and value.

    Args:
        matrix: [rows, columns], NaN where empty.
        scale: the colour scale, drawn as the figure's `coloraxis`.
        x: column coordinates, or None for 0, 1, ...
        y: row coordinates, or None.
        x_title: names the column when hovering.
        y_title: names the row.
        value: names the value.
        axis: which axes: "" for the first pair, "2" for the second, ...
        name: the panel's subtitle.
    """
    shown = "%{customdata:.4g}" if scale.log else "%{z:.4g}"
    return go.Heatmap(
        z=scale.z(matrix),
        x=x,
        y=y,
        customdata=matrix if scale.log else None,
        xaxis=f"x{axis}",
        yaxis=f"y{axis}",
        coloraxis="coloraxis",
        hoverongaps=False,
        name=plain(name),
        hovertemplate=(
            f"{plain(y_title)}: %{{y}}<br>{plain(x_title)}: %{{x}}<br>"
            f"{plain(value)}: {shown}<extra>{plain(name)}</extra>"
        ),
    )


def require_one_shape(matrices: Sequence[Floats]) -> None:
    """Refuse panels of different shapes.

    Raises:
        InputError: two of them differ.
    """
    shapes = sorted({matrix.shape for matrix in matrices})
    require(
        len(shapes) == 1,
        wanted="panels of one shape",
        got=" and ".join(map(str, shapes)),
        remedy="draw matrices of different shapes as separate heatmaps",
    )
