"""A labelled result as a picture; reached by name through a result's `.plot()`."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from unweave.charts.figures.barcharts import bars
from unweave.charts.figures.checks import require
from unweave.charts.figures.heatmaps import heatmap, small_multiples
from unweave.core.results import Result

Floats = NDArray[np.floating[Any]]
# What an axis is called where there is room.
AXES = {"pos": "position"}


def plot_result(
    result: Result, *, show: Literal["values", "effect"] | None = None, title: str | None = None
) -> go.Figure:
    """Bars with their 95% intervals for one dimension, a heatmap for two, one a panel for three.

    Args:
        show: the values, or their signed change from the clean run; None is the change where there is
            a clean run to compare with.

    Raises:
        InputError: for another number of dimensions.
    """
    show = show or ("effect" if "clean" in result.baselines else "values")
    require(
        show in ("values", "effect"),
        wanted="show='values' or show='effect'",
        got=repr(show),
        remedy="write one",
    )
    require(
        1 <= len(result.dims) <= 3,
        wanted="a result of one to three dimensions",
        got=f"{len(result.dims)}",
        remedy="pick labels with result.sel(...)",
    )
    shown = result.effect if show == "effect" else result.values
    values: Floats = shown.double().numpy()
    labels = [[str(label) for label in result.coords[dim]] for dim in result.dims]
    metric = _words(str(result.provenance.get("metric", "value")))
    what = f"change of {metric}" if show == "effect" else metric
    unit = f"{what} ({result.unit})" if result.unit else what
    told = title or f"{what[0].upper()}{what[1:]}, {result.provenance.get('operation', 'patched')}" + (
        f", {result.provenance.get('method')}: approximate" if result.approximate else ""
    )
    if len(result.dims) == 1:
        return bars(
            labels[0],
            values,
            title=told,
            x_title=unit,
            y_title=AXES.get(result.dims[0], result.dims[0]),
            errors=_errors(result, show),
        )
    kind: dict[str, Any] = {"title": told, "colour_title": unit, "diverging": show == "effect"}
    x_title, y_title = (AXES.get(dim, dim) for dim in (result.dims[-1], result.dims[-2]))
    titles = {"x_title": x_title, "y_title": y_title}
    if len(result.dims) == 2:
        return heatmap(values, x=labels[1], y=labels[0], **titles, **kind)
    panels = [(f"{result.dims[0]} {label}", part) for label, part in zip(labels[0], values, strict=True)]
    return small_multiples(panels, **titles, **kind)


def _errors(result: Result, show: str) -> tuple[Floats, Floats] | None:
    if result.n_samples is None or result.n_samples < 2:
        return None
    low, high = result.effect_interval if show == "effect" else result.interval
    return low.numpy(), high.numpy()


def _words(name: str) -> str:
    """A metric's name as it stands in a sentence: "LogitDifference" is the logit difference; "KL" stays."""
    return name if name.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
