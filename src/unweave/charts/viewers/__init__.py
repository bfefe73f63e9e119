"""Inline viewers for notebooks: attention patterns, tokens coloured by value, logit lens, predictions.

Each takes numbers and labels and gives a `Viewer`, whose HTML holds its own data, script and style and
fetches nothing.
"""

from unweave.charts.viewers.attention import attention_patterns
from unweave.charts.viewers.coloured import colored_tokens
from unweave.charts.viewers.lens import logit_lens_table
from unweave.charts.viewers.predictions import token_predictions
from unweave.charts.viewers.viewer import Viewer, ViewerSizeWarning

__all__ = [
    "Viewer",
    "ViewerSizeWarning",
    "attention_patterns",
    "colored_tokens",
    "logit_lens_table",
    "token_predictions",
]
