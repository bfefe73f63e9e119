"""Attention patterns by head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike

from unweave.charts.figures.checks import Floats, Number, require
from unweave.charts.viewers.values import array, is_nested, packed, scale, strings
from unweave.charts.viewers.viewer import REFUSE_ABOVE, Viewer
from unweave.charts.viewers.visible import label, seen, short

LISTED: Final = 24  # heads in the plain text


def attention_patterns(
    tokens: Sequence[str] | Sequence[Sequence[str]],
    patterns: ArrayLike | Sequence[ArrayLike],
    *,
    head_names: Sequence[str] | None = None,
    prompt_names: Sequence[str] | None = None,
    title: str = "Attention patterns",
    value: str = "attention",
    limits: tuple[Number, Number] | None = None,
    max_mb: Number = REFUSE_ABOVE,
) -> Viewer:
    """Every head as a thumbnail, one or two of them large, with the tokens that each attends to.

    Point at a head, a cell or a token to read its values; click or press Enter to hold it. Two heads, or one
    head on two prompts, can be compared side by side and by their difference.

    Args:
        tokens: the prompt's tokens; a list of such lists for several prompts.
        patterns: `[head, query, key]` or `[layer, head, query, key]`; a list of such arrays for several
            prompts. Scores or differences will do: negative values give a diverging scale. NaN is a masked cell.
        head_names: one a head, in order; "H3" or "L0H3" by default.
        prompt_names: one a prompt.
        value: what the values are, with the unit.
        limits: the values of the first and last colour; 0 to 1 by default for values that lie between.
        max_mb: the size above which the viewer is refused.

    Raises:
        InputError: shapes, names or tokens that don't fit together, or too many numbers.
    """
    several = is_nested(tokens)
    prompts = cast("Sequence[Sequence[str]]", tokens if several else [tokens])
    given = cast("Sequence[ArrayLike]", patterns if several else [patterns])
    require(
        len(prompts) == len(given),
        wanted=f"patterns for each of {len(prompts)} prompts",
        got=f"{len(given)}",
        remedy="pass a list of arrays, one a prompt",
    )
    arrays = [_patterns(one) for one in given]
    heads = arrays[0].shape[:2]
    for one in arrays:
        require(
            one.shape[:2] == heads,
            wanted="the same layers and heads for every prompt",
            got=f"{one.shape[:2]} beside {heads}",
            remedy="pick the same heads of each",
        )
    names = _names(head_names, heads, layered=np.ndim(cast("Any", given[0])) == 4)
    shown = [
        strings("tokens", row, one.shape[-1], "positions") for row, one in zip(prompts, arrays, strict=True)
    ]
    default = [f"prompt {number}" for number in range(1, len(prompts) + 1)]
    labels = strings(
        "prompt_names", default if prompt_names is None else prompt_names, len(prompts), "prompts"
    )
    within = all(
        bool((one[np.isfinite(one)] >= 0).all() and (one[np.isfinite(one)] <= 1.001).all()) for one in arrays
    )
    diverging, low, high = scale(arrays, diverging=None, limits=limits or ((0.0, 1.0) if within else None))
    data: dict[str, Any] = {
        "heads": [label(name) for name in names],
        "across": heads[1],
        "value": value,
        "diverging": diverging,
        "limits": [low, high],
        "prompts": [
            {"name": label(name), "tokens": seen(row), **_packed(one)}
            for name, row, one in zip(labels, shown, arrays, strict=True)
        ],
    }
    return Viewer("attention", title, data, _text(title, names, shown[0], arrays[0], value), max_mb)


def _patterns(values: ArrayLike) -> Floats:
    """`values` as [layer, head, query, key]."""
    out = array("patterns", values, dims=(3, 4), shape="[head, query, key] or [layer, head, query, key]")
    require(
        out.shape[-1] == out.shape[-2],
        wanted="as many keys as queries",
        got=f"{out.shape[-2]} queries, {out.shape[-1]} keys",
        remedy="pass the patterns of one whole run over these tokens",
    )
    return out if out.ndim == 4 else out[None]


def _names(given: Sequence[str] | None, heads: tuple[int, ...], *, layered: bool) -> list[str]:
    if given is not None:
        return strings("head_names", given, heads[0] * heads[1], "heads")
    return [
        f"L{layer}H{head}" if layered else f"H{head}" for layer in range(heads[0]) for head in range(heads[1])
    ]


def _packed(patterns: Floats) -> dict[str, Any]:
    """All heads; where no query looks ahead, only the lower triangles travel."""
    flat = patterns.reshape(-1, *patterns.shape[-2:])
    rows, columns = np.triu_indices(flat.shape[-1], k=1)
    above = flat[:, rows, columns]
    causal = above.size > 0 and not np.nan_to_num(above).any()
    if causal:
        rows, columns = np.tril_indices(flat.shape[-1])
        flat = flat[:, rows, columns]
    return {"causal": causal, "values": packed(flat)}


def _text(title: str, names: Sequence[str], tokens: Sequence[str], patterns: Floats, value: str) -> str:
    flat = np.nan_to_num(patterns.reshape(-1, *patterns.shape[-2:]))
    lines = [
        f"{title}: {len(names)} heads over {len(tokens)} tokens. The greatest {value} of each head after the first query:"
    ]
    for name, pattern in list(zip(names, flat, strict=True))[:LISTED]:
        # The first query of a causal model has one key only, which tells nothing.
        first = 1 if len(tokens) > 1 else 0
        query, key = np.unravel_index(int(np.abs(pattern[first:]).argmax()), pattern[first:].shape)
        query, key = int(query) + first, int(key)
        lines.append(
            f"  {short(name)}: {pattern[query, key]:.3g} from {query} {short(tokens[query])} to {key} {short(tokens[key])}"
        )
    if len(names) > LISTED:
        lines.append(f"  and {len(names) - LISTED} more heads")
    return "\n".join(lines)
