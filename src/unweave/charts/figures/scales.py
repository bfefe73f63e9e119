"""From values to colours: limits, colour scale and colour bar of a heatmap or a scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unweave.charts import palette
from unweave.charts.figures.checks import Floats, Number, require, require_positive
from unweave.charts.figures.style import colour_bar


@dataclass(frozen=True)
class ColourScale:
    """How values become colours, shared by every panel of a figure.

    Attributes:
        low: the value drawn in the first colour.
        high: the value drawn in the last.
        diverging: two hues that meet at zero; then low == -high.
        log: the colour follows log10 of the value.
    """

    low: float
    high: float
    diverging: bool = False
    log: bool = False

    def z(self, values: Floats) -> Floats:
        """What plotly colours by: the values, or their log10."""
        return np.log10(values) if self.log else values

    def axis(self, title: str, length: int) -> dict[str, Any]:
        """A plotly colour axis with its bar, whose title is wrapped to `length` pixels."""
        low, high = np.log10([self.low, self.high]) if self.log else (self.low, self.high)
        ticks = _log_ticks(float(low), float(high)) if self.log else {}
        scale = palette.DIVERGING if self.diverging else palette.SEQUENTIAL
        return {
            "colorscale": [list(stop) for stop in scale] if self.diverging else scale,
            "cmin": float(low),
            "cmax": float(high),
            "colorbar": colour_bar(title, length, **ticks),
        }


def colour_scale(
    values: Sequence[Floats],
    *,
    diverging: bool = False,
    log: bool = False,
    limits: tuple[Number, Number] | None = None,
) -> ColourScale:
    """The scale that covers all `values`, or exactly `limits`.

    Raises:
        InputError: diverging and logarithmic at once; values not above zero on a logarithmic scale;
            limits out of order, not symmetric about zero when diverging, or not above zero when
            logarithmic.
    """
    require(
        not (diverging and log),
        wanted="a diverging or a logarithmic colour scale",
        got="both",
        remedy="a logarithm has no zero to diverge from; choose one",
    )
    if log:
        for one in values:
            require_positive("values", one, gaps=True)
    if limits is None:
        low = min(float(np.nanmin(one)) for one in values)
        high = max(float(np.nanmax(one)) for one in values)
        if diverging:
            high = max(abs(low), abs(high))
            low = -high
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        return ColourScale(low, high, diverging, log)
    low, high = float(limits[0]), float(limits[1])
    require(
        bool(np.isfinite([low, high]).all()) and low < high,
        wanted="limits (low, high) with low < high",
        got=str(limits),
        remedy="pass two different finite numbers in order",
    )
    require(
        not diverging or low == -high,
        wanted="limits (-m, m) for a diverging scale",
        got=str(limits),
        remedy="centre them at zero, or use diverging=False",
    )
    require(
        not log or low > 0,
        wanted="limits above zero for a logarithmic scale",
        got=str(limits),
        remedy="raise the low limit, or use log=False",
    )
    return ColourScale(low, high, diverging, log)


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks at powers of ten; at 1, 2 and 5 times them where fewer than two decades show."""
    first, last = int(np.floor(low)), int(np.ceil(high))
    factors = (1,) if high - low >= 2 else (1, 2, 5)
    step = max(1, (last - first) // 6)
    ticks = [f * 10.0**power for power in range(first, last + 1, step) for f in factors]
    ticks = [tick for tick in ticks if low - 1e-9 <= np.log10(tick) <= high + 1e-9]
    return {"tickvals": [float(np.log10(tick)) for tick in ticks], "ticktext": [f"{t:g}" for t in ticks]}
