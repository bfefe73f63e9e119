"""The logit lens: what the model would say if it stopped after each layer. `unweave.lens` is this module.

The tuned lens, which is trained, is `unweave.lens.tuned_lens`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.tuned_lens import TunedLens, tuned_lens
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.metrics import Function, Metric, bind
from unweave.engine.provenance import data_hash, weights_hash
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

__all__ = ["TunedLens", "lens_logits", "logit_lens", "tuned_lens"]


@torch.no_grad()
def lens_logits(
    model: HookedTransformer, cache: ActivationCache, incl_mid: bool = False
) -> tuple[Float[Tensor, "stage batch pos d_vocab"], list[str]]:
    """The logits that the final norm and the unembedding make of the stream at each stage, and the stages.

    Stages are "0_pre" (before layer 0), "0_mid" (after its attention, with `incl_mid`), "1_pre", …,
    "final_post", whose logits are the model's. The norm's scale is taken anew at each stage.
    (nostalgebraist, 2020, "interpreting GPT: the logit lens".) Unlike a tuned lens nothing is
    learned: an early stage that writes in another basis than the last looks emptier than it is.
    """
    stack, stages = cache.accumulated_resid(incl_mid=incl_mid, apply_ln=True, return_labels=True)
    return model.logits(stack.flatten(0, 1)).unflatten(0, stack.shape[:2]), [*map(str, stages)]


@torch.no_grad()
def logit_lens(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    metric: Metric | Function,
    *,
    incl_mid: bool = False,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Result:
    """A metric of the logit lens at each stage and each position that the metric reads.

    Args:
        metric: such as `Probability(token)` or `Rank(token, pos=None)`; `KL` compares with the model's
            own prediction.

    Returns:
        Dimensions "stage" and "pos", whose labels are positions, or 0, 1, … where each sample has
        its own. See `lens_logits` for the stages.

    Raises:
        InputError: for a function as metric, or a metric that reads padding.
    """
    model = require_model(model)
    if not isinstance(metric, Metric):
        raise InputError(
            wanted="a metric of unweave, which says where it reads",
            got=type(metric).__name__,
            remedy="take unweave.Probability(token), say, or lens_logits and a function of your own",
        )
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    bound = bind(metric, inputs, model.cfg.d_vocab_out, model.W_U.device)
    if not bool((bound.weights > 0).all()):
        raise InputError(
            wanted="positions that are no padding in any sample",
            got="padding",
            remedy="name each sample's own: pos=tensor [sample, k]",
        )
    logits, cache = model.run_with_cache(inputs.tokens, **inputs.others)
    stack, stages = cache.accumulated_resid(incl_mid=incl_mid, apply_ln=True, return_labels=True)
    rows = torch.arange(len(bound.where), device=bound.where.device)[:, None]
    bound.take_clean(logits[rows, bound.where])
    # One stage at a time: all logits of all of them may be large.
    each = torch.stack([bound.each(model.logits(stage[rows, bound.where])) for stage in stack])
    shared = bool((bound.where == bound.where[0]).all())
    positions = bound.where[0].tolist() if shared else range(bound.where.shape[1])
    per_sample = each.movedim(1, -1).cpu()
    facts: dict[str, Any] = {
        "metric": metric.name,
        "method": "logit lens",
        "values": "signed",
        "weights": weights_hash(model),
        "data": data_hash(inputs),
        "dtype": str(model.W_U.dtype).removeprefix("torch."),
        "samples": inputs.shape[0],
    }
    return Result(
        per_sample.mean(-1),
        ("stage", "pos"),
        {"stage": tuple(stages), "pos": tuple(positions)},
        metric.unit,
        per_sample,
        provenance=facts,
    )
