"""Results to pictures: plotly figures, and one self-contained HTML page to show them in.

Figures take plain arrays and know nothing of models or experiments; importing this room loads
no torch and changes no plotly default.
"""

from unweave.charts.blocks import Block, Card, Cards, ClaimCard, Measured, Picture, Section, Table, Text
from unweave.charts.figures import bars, heatmap, histogram, lines, scatter, small_multiples
from unweave.charts.page import Page, page_html, write_page

__all__ = [
    "Block",
    "Card",
    "Cards",
    "ClaimCard",
    "Measured",
    "Page",
    "Picture",
    "Section",
    "Table",
    "Text",
    "bars",
    "heatmap",
    "histogram",
    "lines",
    "page_html",
    "scatter",
    "small_multiples",
    "write_page",
]
