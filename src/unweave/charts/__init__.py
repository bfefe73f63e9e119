"""Results to pictures: plotly figures, inline viewers, and one self-contained HTML page to show them in.

Figures take plain arrays and know nothing of models or experiments; importing this room loads
no torch and changes no plotly default.
"""

from unweave.charts.blocks import Block, Card, Cards, ClaimCard, Measured, Picture, Section, Table, Text, View
from unweave.charts.figures import bars, heatmap, histogram, lines, over_steps, scatter, small_multiples
from unweave.charts.page import Page, page_html, write_page
from unweave.charts.viewers import (
    Viewer,
    ViewerSizeWarning,
    attention_patterns,
    colored_tokens,
    logit_lens_table,
    token_predictions,
)

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
    "View",
    "Viewer",
    "ViewerSizeWarning",
    "attention_patterns",
    "bars",
    "colored_tokens",
    "heatmap",
    "histogram",
    "lines",
    "logit_lens_table",
    "over_steps",
    "page_html",
    "scatter",
    "small_multiples",
    "token_predictions",
    "write_page",
]
