"""What CircuitsVis' functions return: a view that is its HTML as a string."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from unweave.charts.viewers import Viewer
from unweave.compat.warned import warn

Floats = NDArray[np.float64]


@final
class RenderedHTML:
    """A viewer whose `str` is its HTML, as notebooks that write it to a file expect.

    Attributes:
        viewer: Unweave's own, with `.save(path)`.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer

    def show_code(self) -> str:
        """The HTML; it needs no network."""
        return self.viewer.html()

    def __str__(self) -> str:
        return self.viewer.html()

    def __html__(self) -> str:
        return self.viewer.html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"text/plain": self.viewer.text, "text/html": self.viewer.html()}

    def _repr_html_(self) -> str:  # pyright: ignore[reportUnusedFunction]
        return self.viewer.html()


def numbers(values: Any) -> Floats:
    """`values`, a list, an array or a tensor anywhere, without leading dimensions of one beyond three."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def without_batch(values: Floats, dims: int) -> Floats:
    """A leading dimension of one taken away where there is one more than `dims`."""
    return values[0] if values.ndim == dims + 1 and values.shape[0] == 1 else values


def limits_of(
    values: Floats, low: float | int | None, high: float | int | None
) -> tuple[float, float] | None:
    """Colour limits for CircuitsVis' `min_value` and `max_value`; symmetric where they reach below zero."""
    if low is None and high is None:
        return None
    low = float(np.nanmin(values)) if low is None else float(low)
    high = float(np.nanmax(values)) if high is None else float(high)
    if low < 0:
        most = max(-low, abs(high))
        return -most, most
    return low, high


def without_colours(**colours: str | None) -> None:
    """Say of colours that were asked for that they aren't used."""
    given = [name for name, colour in colours.items() if colour is not None]
    if given:
        warn(f"{', '.join(given)}: Unweave's viewers keep their own colours, which follow the page's theme")
