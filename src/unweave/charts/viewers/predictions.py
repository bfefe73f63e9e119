"""A text with what was predicted for each of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from unweave.charts.figures.checks import Number, require
from unweave.charts.viewers.values import array, listed, strings
from unweave.charts.viewers.viewer import REFUSE_ABOVE, Viewer
from unweave.charts.viewers.visible import seen, short, text_data

LISTED: Final = 40


def token_predictions(
    tokens: Sequence[str],
    log_probs: ArrayLike,
    ranks: Sequence[int],
    top_tokens: Sequence[Sequence[str]],
    top_log_probs: ArrayLike,
    *,
    title: str = "Predictions",
    max_mb: Number = REFUSE_ABOVE,
) -> Viewer:
    """A text whose tokens are coloured by how likely each was, given those before it.

    Point at a token for its log-probability, its rank, and the k tokens that were likeliest in its place;
    the first token is predicted by nothing. `unweave.analysis.view_predictions` makes it from a model.

    Args:
        tokens: `[pos]`, the first included.
        log_probs: `[pos − 1]`, in nats: of tokens 1, 2, … each given those before it.
        ranks: `[pos − 1]`: how many tokens were likelier.
        top_tokens: `[pos − 1][k]`: the likeliest in its place, likeliest first.
        top_log_probs: `[pos − 1, k]`: their log-probabilities.
        max_mb: the size above which the viewer is refused.

    Raises:
        InputError: lengths that don't fit together, or log-probabilities above zero.
    """
    chances = array("log_probs", log_probs, dims=(1,), shape="[pos − 1]")
    best = array("top_log_probs", top_log_probs, dims=(2,), shape="[pos − 1, k]")
    shown = strings("tokens", tokens, len(chances) + 1, "positions, one more than log_probs")
    lengths = {
        "log_probs": len(chances),
        "ranks": len(ranks),
        "top_tokens": len(top_tokens),
        "top_log_probs": len(best),
    }
    require(
        len(set(lengths.values())) == 1,
        wanted="one entry for each token after the first",
        got=", ".join(f"{name} of {length}" for name, length in lengths.items()),
        remedy="leave out the prediction after the last token, whose outcome is unknown",
    )
    require(
        not (chances > 1e-6).any() and not (best > 1e-6).any(),
        wanted="log-probabilities, at most zero",
        got=f"{max(np.nanmax(chances), np.nanmax(best)):.3g}",
        remedy="take logits.log_softmax(-1)",
    )
    words = [strings("top_tokens", row, best.shape[1], "likeliest") for row in top_tokens]
    data: dict[str, Any] = {
        **text_data(shown),
        "log_probs": listed(chances),
        "ranks": [int(rank) for rank in ranks],
        "top": [seen(row) for row in words],
        "top_log_probs": listed(best),
    }
    lines = [f"{title}: log-probability (nats) and rank of each token, and the likeliest in its place"]
    for at, (token, chance, rank, row) in enumerate(
        zip(shown[1:], chances, ranks, words, strict=True), start=1
    ):
        if at <= LISTED:
            lines.append(f"  {at:>4}  {short(token, 20):<20}  {chance:8.3f}  {rank:>5}  {short(row[0], 20)}")
    if len(chances) > LISTED:
        lines.append(f"  and {len(chances) - LISTED} more tokens")
    return Viewer("predictions", title, data, "\n".join(lines), max_mb)
