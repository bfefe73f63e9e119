"""`circuitsvis.tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unweave import charts
from unweave.compat.circuitsvis.rendered import RenderedHTML, limits_of, numbers, without_colours


def colored_tokens(
    tokens: Sequence[str],
    values: Any,
    min_value: float | int | None = None,
    max_value: float | int | None = None,
    negative_color: str | None = None,
    positive_color: str | None = None,
) -> RenderedHTML:
    """Tokens coloured by `values`, `[pos]`."""
    without_colours(negative_color=negative_color, positive_color=positive_color)
    given = numbers(values)
    return RenderedHTML(
        charts.colored_tokens(list(tokens), given, limits=limits_of(given, min_value, max_value))
    )


def colored_tokens_multi(
    tokens: Sequence[str], values: Any, labels: Sequence[str] | None = None
) -> RenderedHTML:
    """Tokens coloured by one of several values, `[pos, value]`, chosen from a list."""
    return RenderedHTML(charts.colored_tokens(list(tokens), numbers(values), features=labels))
