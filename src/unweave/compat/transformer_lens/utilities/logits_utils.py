"""Logits: looked at, and drawn from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.sampling import Sampler


def logits_to_df(logits: Float[Tensor, " d_vocab"], tokenizer: Any = None, top_k: int | None = None) -> Any:
    """A pandas table of one position's tokens, the likeliest first.

    Its columns are `token_index`, `token_string` (with a tokenizer), `logit`, `log_prob` and `probability`.

    Args:
        top_k: so many tokens alone.

    Raises:
        InputError: if pandas isn't installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise InputError(
            wanted="pandas, for a table", got="it isn't installed", remedy='pip install "unweave[frames]"'
        ) from error
    log_probs = logits.detach().float().log_softmax(-1)
    order = log_probs.argsort(descending=True)[:top_k]
    tokens = order.tolist()
    columns: dict[str, Any] = {"token_index": tokens}
    if tokenizer is not None:
        columns["token_string"] = [tokenizer.decode([token]) for token in tokens]
    columns["logit"] = logits.detach()[order].tolist()
    columns["log_prob"] = log_probs[order].tolist()
    columns["probability"] = log_probs[order].exp().tolist()
    return pd.DataFrame(columns)


def sample_logits(
    final_logits: Float[Tensor, "batch d_vocab"],
    top_k: int | None = None,
    top_p: int | float | None = None,
    temperature: int | float = 1.0,
    freq_penalty: int | float = 0.0,
    repetition_penalty: int | float = 1.0,
    tokens: Int[Tensor, "batch pos"] | None = None,
) -> Int[Tensor, " batch"]:
    """A next token for every row of logits, drawn from torch's global random state.

    Args:
        top_k, top_p: draw from so many of the likeliest tokens, or from the likeliest that together
            have more than that probability; with both, `top_k` counts, as in 3.9.
        temperature: what logits are divided by; 0 takes the likeliest.
        freq_penalty: subtracted, after the division, for each time that the token stands in
            `tokens`; not at temperature 0.
        repetition_penalty: logits of tokens that stand in `tokens` are divided by it where they are
            positive, multiplied where they are negative (Keskar et al., 2019, arXiv:1909.05858).
        tokens: for the two penalties.

    Raises:
        InputError: for an argument out of range, or a frequency penalty without tokens.
    """
    logits = final_logits
    if repetition_penalty != 1.0 and tokens is not None:
        there = _counts(tokens, logits) > 0
        lowered = torch.where(logits > 0, logits / repetition_penalty, logits * repetition_penalty)
        logits = torch.where(there, lowered, logits)
    if temperature == 0:
        return logits.argmax(-1)
    sampler = Sampler(True, top_k, None if top_k else top_p, temperature)
    logits = logits / temperature
    if freq_penalty > 0:
        if tokens is None:
            raise InputError(
                wanted="tokens, with freq_penalty", got="none", remedy="pass tokens=, the sequence so far"
            )
        logits = logits - freq_penalty * _counts(tokens, logits)
    if sampler.top_p is not None and sampler.top_p < 1:
        # Ours takes no further token once there is exactly top_p; 3.9 takes one more.
        above = min(float(np.nextafter(np.float32(sampler.top_p), np.float32(math.inf))), 1.0)
        sampler = Sampler(True, None, above, temperature)
    return torch.multinomial(sampler.distribution(logits), 1)[:, 0]


def _counts(tokens: Tensor, logits: Tensor) -> Tensor:
    """How often each token of the vocabulary stands in each row."""
    ones = torch.ones_like(tokens, dtype=logits.dtype)
    return torch.zeros_like(logits).scatter_add_(1, tokens, ones)
