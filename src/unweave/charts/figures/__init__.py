"""Results to plotly figures: each function takes plain arrays and returns one `go.Figure`."""

from unweave.charts.figures.barcharts import bars, histogram
from unweave.charts.figures.curves import lines
from unweave.charts.figures.heatmaps import heatmap, small_multiples
from unweave.charts.figures.over_steps import over_steps
from unweave.charts.figures.points import scatter

__all__ = ["bars", "heatmap", "histogram", "lines", "over_steps", "scatter", "small_multiples"]
