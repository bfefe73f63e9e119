"""The logit lens as a table: what would be said at each stage and position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from unweave.charts.figures.checks import Number, require
from unweave.charts.viewers.values import array, listed, strings
from unweave.charts.viewers.viewer import REFUSE_ABOVE, Viewer
from unweave.charts.viewers.visible import label, seen, short

COLUMNS: Final = 8  # positions in the plain text: the last ones


def logit_lens_table(
    tokens: Sequence[str],
    top_tokens: Sequence[Sequence[Sequence[str]]],
    top_probabilities: ArrayLike,
    *,
    stages: Sequence[str],
    entropy: ArrayLike | None = None,
    title: str = "Logit lens",
    max_mb: Number = REFUSE_ABOVE,
) -> Viewer:
    """A table, stage down and position across, with the likeliest next token in each cell.

    Cells are coloured by that token's probability, or by the entropy; the token that the last stage ends on
    is set bold wherever it is first. Point at a cell for the k likeliest; click or press Enter to hold it.
    `unweave.analysis.view_logit_lens` makes it from a model.

    Args:
        tokens: the prompt's tokens, one a position.
        top_tokens: `[stage][pos][k]`: the likeliest next tokens, likeliest first.
        top_probabilities: `[stage, pos, k]`: their probabilities.
        stages: the stages' names, the earliest first.
        entropy: `[stage, pos]`: of the whole prediction, in nats.
        max_mb: the size above which the viewer is refused.

    Raises:
        InputError: shapes or labels that don't fit together, probabilities outside 0 to 1 or out of order.
    """
    chances = array("top_probabilities", top_probabilities, dims=(3,), shape="[stage, pos, k]")
    names = strings("stages", stages, chances.shape[0], "stages")
    shown = strings("tokens", tokens, chances.shape[1], "positions")
    bad = np.isnan(chances) | (chances < 0) | (chances > 1.001)
    require(
        not bad.any() and bool((np.diff(chances, axis=-1) <= 1e-6).all()),
        wanted="probabilities from 0 to 1, the likeliest first",
        got=f"{int(bad.sum())} outside" if bad.any() else "some out of order",
        remedy="take logits.softmax(-1).topk(k)",
    )
    words = [
        [strings("top_tokens", cell, chances.shape[2], "likeliest") for cell in row] for row in top_tokens
    ]
    require(
        len(words) == len(names) and all(len(row) == len(shown) for row in words),
        wanted=f"top_tokens [{len(names)} stages][{len(shown)} positions]",
        got=f"{len(words)} stages of {sorted({len(row) for row in words})} positions",
        remedy="pass the strings of topk(k).indices",
    )
    vocabulary = sorted({token for row in words for cell in row for token in cell})
    index = {token: at for at, token in enumerate(vocabulary)}
    data: dict[str, Any] = {
        "tokens": seen(shown),
        "stages": [label(name) for name in names],
        "words": seen(vocabulary),
        "top": [[[index[token] for token in cell] for cell in row] for row in words],
        "probabilities": listed(chances),
        "entropy": None,
    }
    if entropy is not None:
        spread = array("entropy", entropy, dims=(2,), shape="[stage, pos]")
        require(
            spread.shape == chances.shape[:2],
            wanted=f"entropy [stage, pos] of shape {chances.shape[:2]}",
            got=f"{spread.shape}",
            remedy="sum −p log p over the vocabulary",
        )
        data["entropy"] = listed(spread)
    return Viewer("lens", title, data, _text(title, shown, names, words), max_mb)


def _text(title: str, tokens: Sequence[str], stages: Sequence[str], words: Sequence[Any]) -> str:
    first = max(0, len(tokens) - COLUMNS)
    lines = [
        f"{title}: the likeliest next token after each token" + (f", from position {first}" if first else "")
    ]
    lines.append(" " * 12 + "".join(f"{short(token, 10):<11}" for token in tokens[first:]))
    for stage, row in zip(stages, words, strict=True):
        lines.append(f"{short(stage, 11):<12}" + "".join(f"{short(cell[0], 10):<11}" for cell in row[first:]))
    return "\n".join(line.rstrip() for line in lines)
