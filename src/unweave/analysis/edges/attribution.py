"""Edge attribution patching: every edge from a few runs and gradients, checked exactly where it says most."""

from __future__ import annotations

import torch
from torch import Tensor

from unweave.analysis.edges.gradients import along_activations, along_inputs, first_order
from unweave.analysis.edges.patching import prepared
from unweave.analysis.edges.pitfalls import about_choices
from unweave.analysis.edges.results import facts, of_cells
from unweave.analysis.edges.rewired import Rewired, into
from unweave.analysis.edges.senders import as_operation
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Recheck, Result
from unweave.engine.approximation import COMPLETE, about_cells, about_nothing, about_wholes
from unweave.engine.baselines import normalised
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Operation
from unweave.engine.planner import MEMORY
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

METHODS = ("eap", "eap-ig-inputs", "eap-ig-activations")


def attribute(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    *,
    method: str = "eap",
    steps: int = 8,
    recheck: int = 5,
    normalise: bool = False,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
    seed: int = 0,
    allow_equal: bool = False,
) -> Result:
    """An estimate of what `patch` would give, for every edge at once.

    "eap" (edge attribution patching: Syed, Rager and Conmy, 2023, arXiv:2310.10348): what the sender would
    add instead, less what it adds, times the metric's gradient at what the receiver reads, before its norm.
    Two runs and one gradient. "eap-ig-inputs" (EAP-IG: Hanna, Pezzelle and Belinkov, 2024,
    arXiv:2403.17806): the gradient averaged over `steps` runs whose embeddings lie on the straight path
    between the two. "eap-ig-activations": for the edges out of each component averaged along the path of
    that component's own output, which takes `steps` runs a component. Points and weights are those of
    Gauss and Legendre; the published code takes equally spaced points.

    Args:
        recheck: how many of the largest estimates, and how many edges at random, are patched exactly as well;
            then all edges into the heads' queries, keys or values of each layer, into each MLP and into the
            logits are patched together too, beside the sum of their estimates. 0 for none.
        steps: points along the path.
        seed: of the edges that are checked at random.

    Returns:
        As `patch`: `.effect` is the signed estimate. `rechecks` and `warnings` say how far off it was.

    Raises:
        InputError: as `patch`; for another method, or a metric without a gradient.
    """
    require_choice("method", method, METHODS)
    _require_gradient(metric)
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, metric, memory, allow_equal)
        if method == "eap":
            estimates = first_order(work)
        elif method == "eap-ig-inputs":
            estimates = along_inputs(work, steps)
        else:
            estimates = along_activations(work, steps)
        source, rechecks, warnings = _checked(work, estimates, method, recheck, seed, normalise)
        warnings = [*about_choices(work, metric, operation, source), *warnings]
    values = work.clean + (estimates if work.clean.ndim else estimates.sum(-1))
    result = of_cells(
        work,
        metric,
        values,
        {"edge": [str(edge) for edge in work.shape.edges]},
        {**facts(work, metric, operation, method if method == "eap" else f"{method}, {steps} steps")},
        source=source,
        approximate=True,
        rechecks=rechecks,
        warnings=warnings,
    )
    return normalised(result) if normalise else result


def _require_gradient(metric: Metric | Function) -> None:
    if isinstance(metric, Metric) and not metric.differentiable:
        raise InputError(
            wanted="a metric with a gradient",
            got=f"{metric.name}, which counts",
            remedy="patch edges exactly, with unweave.edges.patch, or take LogitDifference",
        )


def _checked(
    work: Rewired, estimates: Tensor, method: str, recheck: int, seed: int, normalise: bool
) -> tuple[Tensor | None, list[Recheck], list[str]]:
    """The metric with every edge cut, what some edges do exactly, and what is to be said of that."""
    mean = estimates.mean(-1) if work.clean.ndim else estimates.sum(-1)
    every = list(range(len(mean)))
    if not recheck:
        # One run more, which costs as much as the estimates do.
        source = work.measured(work.cut([every]))[0] if normalise else None
        return source, [], ["no estimate was checked exactly: recheck=0", *about_nothing(mean)]
    top = mean.abs().argsort(descending=True)[:recheck].tolist()
    drawn = torch.randperm(len(mean), generator=seeds.generator(seed, "recheck"))[: 2 * recheck].tolist()
    drawn = [number for number in drawn if number not in top][:recheck]
    groups = _inputs(work)
    inputs = [n for n in every if work.shape.edges[n].sender.layer is None]
    sets = [[number] for number in (*top, *drawn)] + [*groups.values(), inputs, every]
    measured = work.measured(work.cut(sets))
    effects = measured - work.clean
    exact = (effects.mean(-1) if effects.ndim == 2 else effects).tolist()
    reasons = ["one of the largest"] * len(top) + ["at random"] * len(drawn)
    cells = [
        Recheck({"edge": str(work.shape.edges[n])}, mean[n].item(), effect, why)
        for n, effect, why in zip((*top, *drawn), exact, reasons, strict=False)
    ]
    labels = {f"*->{name}": numbers for name, numbers in groups.items()} | {"inputs->*": inputs}
    totals = [
        Recheck({"edge": label}, mean[numbers].sum().item(), effect, "all edges together")
        for (label, numbers), effect in zip(labels.items(), exact[len(cells) : -1], strict=True)
    ]
    # From the inputs' integral the estimates must sum to the whole; others' need not.
    parts = totals[:-1] if method == "eap-ig-inputs" else totals
    warnings = [*about_nothing(mean), *about_cells(cells), *about_wholes(parts, "eap")]
    if method == "eap-ig-inputs":
        warnings += _about_integral(totals[-1])
    return measured[-1], [*cells, *totals], warnings


def _inputs(work: Rewired) -> dict[str, list[int]]:
    """The edges that end at the same place of the same layer."""
    every = torch.arange(len(work.shape.edges))[None]
    return {reading.name: into(reading, every).flatten().tolist() for reading in work.shape.readings}


def _about_integral(whole: Recheck) -> list[str]:
    if abs(whole.approximate - whole.exact) <= COMPLETE * abs(whole.exact):
        return []
    return [
        f"estimates of all edges out of the embeddings sum to {whole.approximate:.3g} and not to {whole.exact:.3g}, "
        "the effect of cutting them together: take more steps"
    ]
