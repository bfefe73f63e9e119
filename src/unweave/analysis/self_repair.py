"""Direct effects beside what ablation does: where later parts make up for what was taken away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.component_ablation import ablate_components
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.metrics import LogitDifference
from unweave.engine.site import Site
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

# A direct effect that is at least this part of the largest one is worth a warning.
WORTH = 0.1
# What is left of it when the rest of the model has reacted.
LEFT = 0.5


@torch.no_grad()
def self_repair(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    right: int | Tensor,
    wrong: int | Tensor,
    *,
    kind: str = "zero",
    of: Tensor | Inputs | None = None,
    pos: int = -1,
    attention_mask: Tensor | None = None,
) -> Result:
    """Each head's and MLP's direct effect on a logit difference, and what ablating it at that position does.

    Direct is the fall of the difference if the part's write is replaced in the last residual stream alone, and
    the final norm's scale stays. Total is the fall when it is replaced in a run. Repair is direct less total:
    what later parts, and the norm, put back. Negative repair is what acts through later parts. (McGrath et
    al., 2023, arXiv:2307.15771; Rushing and Nanda, 2024, arXiv:2402.15390.)

    Args:
        right, wrong: a token, or one a sample.
        kind: "zero", or "mean" over the samples of `of` (None: of `tokens`) at the same position.
        pos: the position whose logits are read, and at which parts are ablated.

    Returns:
        Dimensions "effect" ("direct", "total", "repair") and "component" ("L0H1", "0_mlp_out"), in logits.
        `warnings` name parts whose total effect is less than half of a direct one that counts.

    Raises:
        InputError: for another kind, or a residual stream that is normed after every addition.
    """
    model = require_model(model)
    require_choice("kind", kind, ("zero", "mean"))
    inputs = as_inputs(tokens, attention_mask=attention_mask)
    cfg = model.cfg
    sites: dict[str, Site] = {}
    for layer in range(cfg.n_layers):
        sites |= {f"L{layer}H{head}": Site("z", layer, head=head) for head in range(cfg.n_heads)}
        if not cfg.attn_only:
            sites[f"{layer}_mlp_out"] = Site("mlp_out", layer)
    metric = LogitDifference(right, wrong, pos)
    total = ablate_components(
        model, inputs, metric, kind=kind, of=of, over=sites, pos=pos, allow_equal=True, controls=0
    )
    _, cache = model.run_with_cache(inputs.tokens, **inputs.others)
    written, labels = cache.get_full_resid_decomposition(
        expand_neurons=False, pos_slice=pos, return_labels=True
    )
    change = written.clone()
    if kind == "mean":
        source = inputs if of is None else as_inputs(of)
        _, other = model.run_with_cache(source.tokens, **source.others)
        change -= other.get_full_resid_decomposition(expand_neurons=False, pos_slice=pos).mean(
            1, keepdim=True
        )
    read = cache.apply_ln_to_stack(change, pos_slice=pos)
    shares = (read * _directions(model, right, wrong, len(inputs.tokens))).sum(-1) * cfg.logit_multiplier
    direct = shares[[labels.index(name) for name in sites]].cpu().to(total.values)
    fall = -total.effect_per_sample.to(direct)
    per_sample = torch.stack([direct, fall, direct - fall])
    values = per_sample.mean(-1)
    capped = ("logits are soft-capped, and direct effects are of what they are before",)
    return replace(
        total,
        values=values,
        dims=("effect", "component"),
        coords={"effect": ("direct", "total", "repair"), "component": tuple(sites)},
        unit="logits",
        per_sample=per_sample,
        baselines={},
        provenance={
            **total.provenance,
            "operation": f"self-repair, {kind} ablation",
            "values": "falls of the logit difference",
            "final norm": "direct effects have its scale frozen at that of the run",
        },
        warnings=(*_said(values, tuple(sites)), *(capped if cfg.output_logits_soft_cap > 0 else ())),
    )


def _directions(
    model: HookedTransformer, right: int | Tensor, wrong: int | Tensor, samples: int
) -> Float[Tensor, "sample d_model"]:
    plus, minus = (
        model.W_U[:, torch.as_tensor(t, device=model.W_U.device).expand(samples)].mT for t in (right, wrong)
    )
    return plus - minus


def _said(values: Float[Tensor, "3 part"], labels: tuple[str, ...]) -> Iterable[str]:
    direct, total, _ = values
    for number, label in enumerate(labels):
        own, whole = direct[number].item(), total[number].item()
        if abs(own) < WORTH * direct.abs().max().item() or own == 0.0:
            continue
        if whole / own < LEFT:
            yield (
                f"{label}: direct effect {own:.2f}, but ablating it takes only {whole:.2f} away: later parts make up for "
                "it, or act against it (self-repair)"
            )
