"""`circuitsvis.logits`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unweave.analysis.views import predictions_of
from unweave.compat.circuitsvis.rendered import RenderedHTML


def token_log_probs(
    token_indices: Tensor, log_probs: Tensor, to_string: Callable[[Any], Any], top_k: int = 10
) -> RenderedHTML:
    """How likely each token was: tokens `[pos]` and log-probabilities `[pos, d_vocab]`, or either with a batch of one."""
    row = token_indices[0] if token_indices.ndim == 2 else token_indices
    chances = log_probs[0] if log_probs.ndim == 3 else log_probs

    def named(ids: Tensor) -> Any:
        return [named(part) for part in ids] if ids.ndim > 1 else [to_string(token) for token in ids.tolist()]

    return RenderedHTML(predictions_of(chances.detach().cpu(), row.detach().cpu(), named, top_k))
