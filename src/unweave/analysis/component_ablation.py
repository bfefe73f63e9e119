"""Ablation of components, one at a time: to zero, to a mean, or to what another sample has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unweave.analysis.nodes import by_component, nodes
from unweave.analysis.pitfalls import about_probability, about_zero, zero_is_far
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.layout import PER_HEAD, STREAM, Index, Selection, dims_of
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Mean, Operation, Per, Resample, Zero
from unweave.engine.site import Intervention, Site
from unweave.engine.sweep import sweep
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer


def ablate_components(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    metric: Metric | Function,
    *,
    kind: str = "mean",
    of: From | None = None,
    per: Per = "position",
    over: Mapping[str, Site] | None = None,
    pos: Index = None,
    seed: int = 0,
    **options: Any,
) -> Result:
    """The metric with each component ablated, one at a time.

    Zero is often far from anything that a model ever sees, and a mean may be; what another sample
    has never is. They answer different questions, and the result says which was asked.

    Args:
        kind: "zero"; "mean", over the samples of `of`; "resample", what another sample of `of` has
            at the same position, drawn from `seed` so that no sample reads its own.
        of: where the mean or the other samples are taken from: tokens, `Inputs` or a cache; None is
            `tokens` itself, whose samples then carry a trace of themselves in the mean.
        per: whether the mean is of each position apart, "position", or over positions too, "all".
        over: sites by name; None is every component: see `nodes`.
        pos: at which positions it is ablated; None is all.
        options: those of `sweep`, such as `normalise` or `attention_mask`.

    Returns:
        A dimension "component", in the order of a run. `warnings` name the components that are never near
        zero, if that is what they are set to, and say what a probability hides.

    Raises:
        InputError: for another kind, or if an ablation changes nothing anywhere.
    """
    require_choice("kind", kind, ("zero", "mean", "resample"))
    operation: Operation = {"zero": Zero(), "mean": Mean(of, per), "resample": Resample(of, None, seed)}[kind]
    sites = nodes(model) if over is None else over
    patches = {
        name: Intervention(site if pos is None else site.at(pos=pos), operation)
        for name, site in sites.items()
    }
    result = sweep(model, tokens, patches, metric=metric, seed=seed, **options)
    far = _far_from_zero(model, tokens, patches, options) if kind == "zero" else []
    warnings = (*result.warnings, *about_zero(far), *about_probability(metric, "components"))
    return by_component(replace(result, warnings=warnings), operation=operation.described())


@torch.no_grad()
def _far_from_zero(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    patches: Mapping[str, Intervention],
    options: Mapping[str, Any],
) -> list[str]:
    """The components whose output is never near zero on these samples."""
    masks = {name: options.get(name) for name in ("attention_mask", "token_type_ids")}
    inputs = as_inputs(tokens, **masks)
    hooks = {label: patch.site.hooks(model) for label, patch in patches.items()}
    wanted = list(dict.fromkeys(name for names in hooks.values() for name in names))
    _, kept = model.run_with_cache(
        inputs.tokens, names_filter=wanted, return_type=None, return_cache_object=False, **inputs.others
    )
    far: list[str] = []
    for label, patch in patches.items():
        for name in hooks[label]:
            chosen = Selection(name, patch.site.index, inputs.shape[1]).get(kept[name], slice(None))
            # Several heads of one site are one part.
            if dims_of(name) in (STREAM, PER_HEAD) and bool(zero_is_far(chosen.flatten(2))):
                far.append(label)
                break
    return far
