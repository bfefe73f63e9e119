"""Direct logit attribution: a logit, or a difference of two, as a sum over what was written to the stream.

(Elhage et al., 2021, "A Mathematical Framework for Transformer Circuits".) A share is direct: what a
later component makes of a write is that component's own.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.norms import quiet_norm
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.layout import Index
from unweave.engine.metrics import LogitDifference, Tokens, bind
from unweave.engine.provenance import data_hash, weights_hash
from unweave.model.cache import ActivationCache
from unweave.model.config_checks import require_choice
from unweave.model.norm import Norm
from unweave.model.reading import require_sum
from unweave.model.transformer import HookedTransformer


@torch.no_grad()
def direct_logit_attribution(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    right: Tokens,
    wrong: Tokens | None = None,
    *,
    pos: Index = -1,
    by: str = "component",
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Result:
    """Each part's share of the logit of `right`, or of its difference to that of `wrong`, in logits.

    The shares sum to it, exactly but for rounding, which is checked. The final norm is made linear
    by its scale, frozen at what it was in the run: how a part changes the scale is not in its share
    (`unweave.analysis.attribution.removal_effect` says what it would be with it). The norm's weight
    is applied, whether it is folded or not. Where logits are soft-capped, shares are of the logits
    before, and the result warns.

    Args:
        right, wrong: a token, or one a sample `[sample]`.
        pos: one position, or one a sample `[sample]` as a tensor.
        by: "component": embeddings, and each layer's "0_attn_out" and "0_mlp_out", biases included;
            "head": heads "L0H1", MLPs, embeddings, and "bias", what `b_O` add up to; "neuron": heads
            and neurons "L0N5", and "bias" with `b_out` too.

    Returns:
        A dimension "component"; its last labels are "ln_final.b" (where the norm has one) and "b_U".

    Raises:
        InputError: for a residual stream that is normed after every addition, several positions a
            sample, or parts that don't sum to the logits, as when a hook edits the run.
    """
    model = require_model(model)
    require_choice("by", by, ("component", "head", "neuron"))
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    metric = LogitDifference(right, right if wrong is None else wrong, pos)
    bound = bind(metric, inputs, model.cfg.d_vocab_out, model.W_U.device)
    if bound.where.shape[1] != 1:
        raise InputError(
            wanted="one position a sample to attribute the logits of",
            got=str(bound.where.shape[1]),
            remedy="name one, or pos=tensor [sample]",
        )
    rights, wrongs = bound.targets["right"][:, 0], bound.targets["wrong"][:, 0]
    columns: list[Tensor] = []
    labels: list[str] = []
    for sample, at in enumerate(bound.where[:, 0].tolist()):
        given = inputs.of(slice(sample, sample + 1))
        logits, cache = model.run_with_cache(given.tokens, **given.others)
        weights = model.W_U.new_zeros(model.cfg.d_vocab_out)
        weights[rights[sample]] = 1.0
        if wrong is not None:
            weights[wrongs[sample]] -= 1.0
        column, labels = _shares(model, cache, weights, at, by)
        require_sum(column, _uncapped(model, logits, cache)[0, at] @ weights, "shares", "logits")
        columns.append(column)
    per_sample = torch.stack(columns, -1).cpu()
    facts: dict[str, Any] = {
        "metric": "logit" if wrong is None else "LogitDifference",
        "method": f"direct logit attribution by {by}",
        "values": "signed",
        "final norm": "its scale frozen at that of the run",
        "weights": weights_hash(model),
        "data": data_hash(inputs),
        "dtype": str(model.W_U.dtype).removeprefix("torch."),
        "samples": inputs.shape[0],
    }
    capped = model.cfg.output_logits_soft_cap > 0
    warnings = ("logits are soft-capped: shares sum to what they are before",) if capped else ()
    return Result(
        per_sample.mean(-1),
        ("component",),
        {"component": tuple(labels)},
        "logits",
        per_sample,
        provenance=facts,
        warnings=warnings,
    )


def _shares(
    model: HookedTransformer, cache: ActivationCache, weights: Float[Tensor, " d_vocab"], at: int, by: str
) -> tuple[Float[Tensor, " part"], list[str]]:
    """The shares of `logits @ weights` at one position of the one sample in the cache."""
    direction = model.W_U @ weights
    if by == "component":
        stack, names = cache.decompose_resid(apply_ln=True, pos_slice=at, return_labels=True)
        stack = stack @ direction
    else:
        stack, names = cache.get_full_resid_decomposition(
            expand_neurons=by == "neuron",
            apply_ln=True,
            pos_slice=at,
            return_labels=True,
            project_output_onto=direction,
        )
    rows = dict(zip(map(str, names), stack[:, 0], strict=True))
    norm = model.ln_final
    if isinstance(norm, Norm) and norm.b is not None:
        rows["ln_final.b"] = norm.b @ direction
    rows["b_U"] = model.b_U @ weights
    shares = torch.stack(list(rows.values()))
    return shares * model.cfg.logit_multiplier, list(rows)


def _uncapped(
    model: HookedTransformer, logits: Float[Tensor, "sample pos d_vocab"], cache: ActivationCache
) -> Float[Tensor, "sample pos d_vocab"]:
    """The logits of the run, before the soft-cap where there is one."""
    if model.cfg.output_logits_soft_cap <= 0:
        return logits
    final = cache["resid_post", model.cfg.n_layers - 1]
    return model.unembed(quiet_norm(model.ln_final, final)) * model.cfg.logit_multiplier
