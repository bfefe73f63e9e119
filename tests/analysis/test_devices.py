"""Tensors are made where the inputs are.

No test needs a GPU for this: with another default device, whatever is made without naming one ends
up there, and cannot be combined with inputs on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.analysis.models import random_model, random_tokens
from unweave.analysis.ablation import mean_ablation
from unweave.analysis.attribution import contrasts, logit_attribution
from unweave.analysis.offsets import REMOVALS, attention_by_offset, remove_offset
from unweave.analysis.outcomes import copied_offsets
from unweave.analysis.positions import (
    bos_share,
    log_attention_spread,
    principal_components,
    row_entropy,
    switching_neurons,
)
from unweave.analysis.probes import probe_r2, probe_token
from unweave.analysis.scores import (
    beyond_rank_one,
    fit_column,
    fit_distance,
    fit_gain,
    fit_offset,
    fit_rank_one,
    mean_scores,
    peak_slope,
)
from unweave.tasks import PreviousToken

MODEL, TOKENS = random_model(n_heads=1), random_tokens(batch=6)
LOGITS, CACHE = MODEL.run_with_cache(TOKENS)
PATTERN = CACHE["pattern", 1][0, 0].detach()
TABLE = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
POSITION = torch.arange(6.0)
TASK = PreviousToken(d_vocab=11, n_ctx=6)
BATCH = TASK.with_targets(TOKENS)

CALLS: dict[str, Callable[[], Any]] = {
    "mean_ablation": lambda: mean_ablation(MODEL, TOKENS, TOKENS, lambda logits: logits.mean()),
    "contrasts": lambda: contrasts(TOKENS, 11),
    "logit_attribution": lambda: logit_attribution(MODEL, CACHE, LOGITS),
    "attention_by_offset": lambda: attention_by_offset(PATTERN, 3),
    "copied_offsets": lambda: copied_offsets(LOGITS[:, 1:], BATCH, TASK.scored),
    "bos_share": lambda: bos_share(PATTERN),
    "log_attention_spread": lambda: log_attention_spread(PATTERN),
    "row_entropy": lambda: row_entropy(PATTERN),
    "principal_components": lambda: principal_components(CACHE["mlp_out", 0].mean(0)),
    "switching_neurons": lambda: switching_neurons(CACHE["post", 0]),
    "probe_r2": lambda: probe_r2(CACHE["mlp_out", 0], POSITION),
    "probe_token": lambda: probe_token(CACHE["resid_pre", 0], TOKENS, 11),
    "mean_scores": lambda: mean_scores(MODEL, TOKENS, 1),
    "beyond_rank_one": lambda: beyond_rank_one(TABLE),
    "peak_slope": lambda: peak_slope(TABLE),
    **{
        fit.__name__: lambda fit=fit: fit(TABLE)
        for fit in (fit_column, fit_rank_one, fit_gain, fit_distance, fit_offset)
    },
    **{
        f"remove_offset {how}": lambda how=how: MODEL.run_with_hooks(
            TOKENS, fwd_hooks=remove_offset(1, 1, how, CACHE["v", 1].mean(0))
        )
        for how in REMOVALS
    },
}


def tensors(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, dict):
        return [tensor for value in result.values() for tensor in tensors(value)]
    if isinstance(result, tuple):
        return [tensor for value in result for tensor in tensors(value)]
    return tensors(vars(result)) if hasattr(result, "__dict__") else []


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_made_on_the_default_device(name: str):
    with torch.device("meta"):
        result = CALLS[name]()
    assert all(tensor.device.type == "cpu" for tensor in tensors(result))
