"""`circuitsvis.attention`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unweave import charts
from unweave.compat.circuitsvis.rendered import (
    RenderedHTML,
    limits_of,
    numbers,
    without_batch,
    without_colours,
)
from unweave.compat.warned import warn


def attention_patterns(
    tokens: Sequence[str], attention: Any, attention_head_names: Sequence[str] | None = None
) -> RenderedHTML:
    """Every head's pattern. `attention` is `[head, query, key]`."""
    patterns = without_batch(numbers(attention), 3)
    return RenderedHTML(charts.attention_patterns(list(tokens), patterns, head_names=attention_head_names))


def attention_heads(
    attention: Any,
    tokens: Sequence[str],
    attention_head_names: Sequence[str] | None = None,
    max_value: float | int | None = None,
    min_value: float | int | None = None,
    negative_color: str | None = None,
    positive_color: str | None = None,
    mask_upper_tri: bool | None = None,
) -> RenderedHTML:
    """The same view with limits; with `mask_upper_tri` keys after the query are left out, whatever they hold."""
    without_colours(negative_color=negative_color, positive_color=positive_color)
    patterns = without_batch(numbers(attention), 3)
    if mask_upper_tri:
        patterns = np.tril(patterns)
    limits = limits_of(patterns, min_value, max_value)
    viewer = charts.attention_patterns(list(tokens), patterns, head_names=attention_head_names, limits=limits)
    return RenderedHTML(viewer)


def attention_pattern(
    tokens: Sequence[str],
    attention: Any,
    max_value: float | int | None = None,
    min_value: float | int | None = None,
    negative_color: str | None = None,
    show_axis_labels: bool | None = None,
    positive_color: str | None = None,
    mask_upper_tri: bool | None = None,
) -> RenderedHTML:
    """One head's pattern `[query, key]`; tokens stand beside it wherever there is room."""
    if show_axis_labels is False:
        warn("show_axis_labels: Unweave's viewer shows the tokens wherever there is room for them")
    return attention_heads(
        without_batch(numbers(attention), 2)[None],
        tokens,
        ["attention"],
        max_value,
        min_value,
        negative_color,
        positive_color,
        mask_upper_tri,
    )
