"""Tokens coloured by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike

from unweave.charts.figures.checks import Floats, Number, require
from unweave.charts.viewers.values import array, is_nested, listed, packed, scale, strings
from unweave.charts.viewers.viewer import REFUSE_ABOVE, Viewer
from unweave.charts.viewers.visible import label, short, text_data

LISTED: Final = 40  # tokens in the plain text
ROUNDED: Final = 4000  # up to so many values travel as rounded numbers, more as float16


def colored_tokens(
    tokens: Sequence[str] | Sequence[Sequence[str]],
    values: ArrayLike | Sequence[ArrayLike],
    *,
    features: Sequence[str] | None = None,
    text_names: Sequence[str] | None = None,
    title: str = "Tokens by value",
    unit: str = "value",
    diverging: bool | None = None,
    limits: tuple[Number, Number] | None = None,
    max_mb: Number = REFUSE_ABOVE,
) -> Viewer:
    """A text whose tokens are coloured by a number each; of several features one is chosen from a list.

    Args:
        tokens: the text's tokens; a list of such lists for several texts, shown one below the other.
        values: `[pos]` or `[pos, feature]`; a list of such arrays for several texts. NaN leaves a token plain.
        features: the features' names; "feature 0", … by default.
        text_names: one a text.
        unit: what the values are, with the unit; it stands beside the legend.
        diverging: blue below zero and orange above, rather than from the page's colour to blue; by default
            where a value is negative.
        limits: the values of the first and the last colour; by default each feature's own range, from zero.
        max_mb: the size above which the viewer is refused.

    Raises:
        InputError: shapes, names or tokens that don't fit together, or too many numbers.
    """
    several = is_nested(tokens)
    texts = cast("Sequence[Sequence[str]]", tokens if several else [tokens])
    given = cast("Sequence[ArrayLike]", values if several else [values])
    require(
        len(texts) == len(given),
        wanted=f"values for each of {len(texts)} texts",
        got=f"{len(given)}",
        remedy="pass a list of arrays, one a text",
    )
    arrays = [_by_feature(one) for one in given]
    shown = [
        strings("tokens", row, one.shape[0], "positions") for row, one in zip(texts, arrays, strict=True)
    ]
    number = arrays[0].shape[1]
    require(
        all(one.shape[1] == number for one in arrays),
        wanted="the same features for every text",
        got=", ".join(str(one.shape[1]) for one in arrays),
        remedy="pick the same features of each",
    )
    default = ["value"] if number == 1 else [f"feature {at}" for at in range(number)]
    names = strings("features", default if features is None else features, number, "features")
    labels = (
        [""] * len(texts) if text_names is None else strings("text_names", text_names, len(texts), "texts")
    )
    signed = diverging
    if signed is None and limits is None:
        signed = any(bool((one < 0).any()) for one in arrays)
    scales = [scale([one[:, at] for one in arrays], diverging=signed, limits=limits) for at in range(number)]
    many = sum(one.size for one in arrays) > ROUNDED
    data: dict[str, Any] = {
        "features": [label(name) for name in names],
        "unit": unit,
        "diverging": scales[0][0],
        "limits": [[low, high] for _, low, high in scales],
        "texts": [
            {
                "name": label(name) if name else "",
                **text_data(row),
                "values": [packed(c) if many else listed(c) for c in one.T],
            }
            for name, row, one in zip(labels, shown, arrays, strict=True)
        ],
    }
    return Viewer("coloured", title, data, _text(title, unit, names, shown[0], arrays[0]), max_mb)


def _by_feature(values: ArrayLike) -> Floats:
    out = array("values", values, dims=(1, 2), shape="[pos] or [pos, feature]")
    return out if out.ndim == 2 else out[:, None]


def _text(title: str, unit: str, names: Sequence[str], tokens: Sequence[str], values: Floats) -> str:
    which = f" of {names[0]} (of {len(names)} features)" if len(names) > 1 else ""
    lines = [f"{title}: {unit}{which}"]
    for at, token in enumerate(tokens[:LISTED]):
        number = values[at, 0]
        lines.append(f"  {at:>4}  {short(token, 20):<20}  {'—' if np.isnan(number) else f'{number:.4g}'}")
    if len(tokens) > LISTED:
        lines.append(f"  and {len(tokens) - LISTED} more tokens")
    return "\n".join(lines)
