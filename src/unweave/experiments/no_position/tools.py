"""The standard tools, each from a study to JSON values: what the page and the notebook draw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unweave.analysis.ablation import mean_ablation
from unweave.analysis.attribution import (
    components,
    contrasts,
    logit_attribution,
    per_sequence,
    removal_effect,
)
from unweave.analysis.intervals import estimate
from unweave.analysis.offsets import attention_by_offset
from unweave.analysis.positions import bos_share, principal_components
from unweave.analysis.scores import mean_scores, row_centred
from unweave.experiments.no_position.study import Study


def patterns(study: Study) -> dict[str, Any]:
    """Mean attention of both layers, `[query, key]`."""
    return {f"layer {layer}": _list(study.cache["pattern", layer].mean((0, 1))) for layer in range(2)}


def bos_attention(study: Study) -> dict[str, Any]:
    """Layer 0's attention to BOS by position, with the curve fitted, trained and untrained."""
    fits = {
        whose: bos_share(cache["pattern", 0].mean((0, 1)))
        for whose, cache in (("trained", study.cache), ("untrained", study.untrained_cache))
    }
    return {
        whose: {
            "share": _list(fit.share),
            "fitted": _list(fit.fitted),
            "c": _round(fit.c),
            "r2": _round(fit.r2),
        }
        for whose, fit in fits.items()
    }


def mlp_0(study: Study) -> dict[str, Any]:
    """MLP 0's mean activation by neuron and position, and the components of its output's positional means."""
    post = study.cache["post", 0].mean(0)
    # Neurons in the order of the position at which they are most active, silent ones last.
    peak = torch.where(post.amax(0) > 0, post.argmax(0), torch.full_like(post.argmax(0), len(post)))
    found: dict[str, Any] = {"activation": _list(post[:, peak.argsort(stable=True)].T)}
    for whose, cache in (("trained", study.cache), ("untrained", study.untrained_cache)):
        pcs = principal_components(cache["mlp_out", 0][:, 1:].mean(0))
        found[whose] = {"projection": _list(pcs.projection), "share": _list(pcs.share)}
    return found


def layer_1(study: Study) -> dict[str, Any]:
    """Layer 1's attention by offset, and its mean scores, row-centred and without the mask."""
    by_offset = attention_by_offset(study.cache["pattern", 1][:, 0], most=10)
    table = mean_scores(study.model, study.batch.tokens, layer=1)[1:, 1:]
    return {
        "attention_by_offset": [estimate(by_offset[:, d]).to_dict() for d in range(by_offset.shape[1])],
        "row_centred_scores": _list(row_centred(table)),
    }


def attribution(study: Study) -> dict[str, Any]:
    """Each component's direct, signed share of four questions about the logits, the scale frozen.

    `recomputed` is the check: what changes when the component is taken away and the final norm's
    scale computed anew.
    """
    questions, valid = contrasts(study.batch.tokens, study.task.d_vocab)
    parts = components(study.model, study.cache)
    found: dict[str, Any] = {}
    for name, contrast in questions.items():
        rows = logit_attribution(study.model, study.cache, contrast, parts)
        found[name] = {
            row: {
                **estimate(per_sequence(values, valid), "logits").to_dict(),
                "recomputed": _mean(removal_effect(study.model, study.cache, contrast, parts[row]), valid)
                if row in parts
                else None,
            }
            for row, values in rows.items()
        }
    return found


def ablation(study: Study, sequences: int, progress: bool = False) -> dict[str, float]:
    """The loss with each hook in turn at its per-position mean over a separate batch."""
    batch = study.task.batch(sequences, study.seed_for("ablation"))
    other = study.task.batch(sequences, study.seed_for("ablation means"))
    losses = mean_ablation(
        study.model,
        batch.tokens,
        other.tokens,
        lambda logits: study.task.loss(logits, batch),
        progress=progress,
    )
    baseline = study.outcome(batch=batch).loss.mean().item()
    return {"baseline": _round(baseline), **{name: _round(loss) for name, loss in losses.items()}}


def _mean(values: Tensor, valid: Tensor) -> float:
    return _round(per_sequence(values, valid).mean().item())


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _list(tensor: Tensor) -> Any:
    """Nested lists with six significant digits."""
    if tensor.ndim == 0:
        return _round(tensor.item())
    return [_list(row) for row in tensor]
