"""Noising beside denoising, and beside ablation: what is needed, what is enough, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unweave.analysis.nodes import nodes
from unweave.core.results import Result
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Interchange, Mean, Operation, Zero
from unweave.engine.site import Intervention, Site
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

# The part of the gap between the runs from which on a component counts as having an effect.
THRESHOLD = 0.5


def noising_and_denoising(
    model: HookedTransformer,
    clean: Tensor | Inputs,
    corrupted: Tensor | Inputs,
    metric: Metric | Function,
    *,
    over: Mapping[str, Site | Sequence[Site]] | None = None,
    mean_of: From | None = None,
    threshold: float = THRESHOLD,
    **options: Any,
) -> Result:
    """How much of the gap between the two runs each component is answerable for, asked in several ways.

    Noising puts what the corrupted run has into the clean run: a large number says that the component
    is needed. Denoising puts what the clean run has into the corrupted one: a large number says that
    it is enough. Of two parts that are both needed (an AND) only noising finds either; of two that
    do the same (an OR), only denoising. Ablation asks the clean run to do without: it finds nothing
    where another component takes over. (Heimersheim and Nanda, 2024, arXiv:2404.15255; McGrath et
    al., 2023, arXiv:2307.15771.)

    Args:
        over: sites by name, several together as a list; None is every component: see `nodes`.
        mean_of: a run to take means of each position from; then mean ablation is asked too.
        threshold: the part of the gap from which on an effect counts, for the warnings.
        options: those of `sweep`, but for `normalise`.

    Returns:
        Dimensions "operation" ("noising", "denoising", "zero", "mean") and "component". Noising and
        ablation: 0 leaves the clean run's metric, 1 makes it the corrupted one's. Denoising: 0 leaves
        the corrupted run's, 1 restores the clean one's. `warnings` name the components on which
        operations disagree, and what that means.

    Raises:
        InputError: if the metric doesn't tell the runs apart, or as `sweep`.
    """
    sites = nodes(model) if over is None else over
    groups = {name: [site] if isinstance(site, Site) else list(site) for name, site in sites.items()}
    asked: dict[str, tuple[Tensor | Inputs, Operation]] = {
        "noising": (clean, Interchange(corrupted)),
        "denoising": (corrupted, Interchange(clean)),
        "zero": (clean, Zero()),
    }
    if mean_of is not None:
        asked["mean"] = clean, Mean(mean_of)
    gaps = _ends(model, clean, corrupted, metric, options)
    given: dict[str, Any] = {"metric": metric, "controls": 0, "allow_equal": True, **options}
    found: dict[str, Result] = {}
    for name, (run, operation) in asked.items():
        patches = {
            label: [Intervention(site, operation) for site in group] for label, group in groups.items()
        }
        found[name] = sweep(model, run, patches, **given)
    values = {name: _share(result, gaps, name == "denoising") for name, result in found.items()}
    first = found["noising"]
    return replace(
        first,
        values=torch.stack(list(values.values())),
        dims=("operation", "component"),
        coords={"operation": tuple(values), "component": tuple(groups)},
        unit="part of the gap between the clean and the corrupted run",
        per_sample=None,
        baselines={},
        provenance={**first.provenance, "operation": ", ".join(values), "gap": list(gaps)},
        warnings=(
            *dict.fromkeys(text for result in found.values() for text in result.warnings),
            *_disagreements(values, tuple(groups), threshold),
        ),
    )


def _ends(
    model: HookedTransformer,
    clean: Tensor | Inputs,
    corrupted: Tensor | Inputs,
    metric: Metric | Function,
    options: Mapping[str, Any],
) -> tuple[float, float]:
    """The metric of both runs; refused if they can't be told apart."""
    given: dict[str, Any] = {"metric": metric, "controls": 0, "allow_equal": True, **options}
    result = sweep(model, clean, "hook_embed", source=corrupted, normalise=True, **given)
    zero, one = result.provenance["normalised by"]
    return zero, one


def _share(result: Result, gaps: tuple[float, float], denoising: bool) -> Tensor:
    zero, one = gaps[::-1] if denoising else gaps
    return (result.values - zero) / (one - zero)


def _disagreements(values: Mapping[str, Tensor], labels: Sequence[str], threshold: float) -> Iterable[str]:
    for number, label in enumerate(labels):
        share = {name: value[number].item() for name, value in values.items()}
        acts = {name: abs(value) >= threshold for name, value in share.items()}
        told = f"noising {share['noising']:.2f}, denoising {share['denoising']:.2f}"
        if acts["noising"] and not acts["denoising"]:
            yield f"{label} is needed, but not enough ({told}): others must act with it, as in an AND"
        elif acts["denoising"] and not acts["noising"]:
            yield f"{label} is enough, but not needed ({told}): others do the same, as in an OR"
        ablated = [name for name in ("zero", "mean") if name in share]
        silent = [name for name in ablated if not acts[name]]
        if (
            (acts["noising"] or acts["denoising"])
            and silent
            and not (acts["denoising"] and not acts["noising"])
        ):
            yield (
                f"{label} matters to what the output says ({told}), but the output stays when it is ablated to "
                f"{' or '.join(silent)}: others may take over, as a backup does, or the run may not need it"
            )
        if not acts["noising"] and not acts["denoising"] and any(acts[name] for name in ablated):
            acting = [name for name in ablated if acts[name]]
            yield (
                f"{label} makes no difference between these runs ({told}), but ablating it to "
                f"{' or '.join(acting)} does: it does something that both need"
            )
