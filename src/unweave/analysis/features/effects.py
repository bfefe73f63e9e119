"""What each feature does: ablated, patched from another run, or estimated by gradients, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unweave.analysis.features.dictionary import Dictionary
from unweave.analysis.features.splicing import Spliced, splice
from unweave.core.errors import InputError
from unweave.core.results import Recheck, Result
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.layout import Index, Selection
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Interchange, Mean, Operation, Per, Resample, Zero
from unweave.engine.planner import MEMORY
from unweave.engine.site import Site
from unweave.engine.sweep import sweep
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

ERROR = "error"


def ablate(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    dictionary: Dictionary,
    metric: Metric | Function,
    *,
    kind: str = "zero",
    of: From | None = None,
    per: Per = "position",
    features: Sequence[int] | None = None,
    pos: Index = None,
    at: str | None = None,
    out: str | None = None,
    with_error: bool = True,
    seed: int = 0,
    **options: Any,
) -> Result:
    """The metric with each feature ablated, one at a time, the error kept.

    Zero is a feature's own "off", and far less strange to the model than a zeroed component; "mean"
    and "resample" are as in `ablate_components`.

    Args:
        features: which; None is every one that the ablation changes anywhere: of all others the
            effect is exactly 0, and they are left out.
        pos: at which positions; None is all.
        at, out: as in `splice`.
        with_error: whether the last cell, "error", ablates what the features leave out.
        options: those of `sweep`; with `method="attribution"` the values are estimates, see `attribute`.

    Returns:
        A dimension "feature", of features' numbers and "error".

    Raises:
        InputError: for another kind, features that aren't there, or if none changes anything.
    """
    require_choice("kind", kind, ("zero", "mean", "resample"))
    how: Operation = {"zero": Zero(), "mean": Mean(of, per), "resample": Resample(of, None, seed)}[kind]
    return _swept(
        model, tokens, dictionary, metric, how, features, pos, at, out, with_error, seed=seed, **options
    )


def patch(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    source: From,
    dictionary: Dictionary,
    metric: Metric | Function,
    *,
    features: Sequence[int] | None = None,
    pos: Index = None,
    at: str | None = None,
    out: str | None = None,
    with_error: bool = True,
    **options: Any,
) -> Result:
    """The metric with each feature set to what it is in `source`, one at a time, the error kept.

    Args:
        source: another run, of clean or corrupted tokens; the cell "error" takes its error.
        features: which; None is every one that differs between the runs.
        options: those of `sweep`: `normalise=True`, say.

    Returns:
        As `ablate`.

    Raises:
        InputError: for features that aren't there, or if none differs.
    """
    how = Interchange(source)
    return _swept(model, tokens, dictionary, metric, how, features, pos, at, out, with_error, **options)


def attribute(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    dictionary: Dictionary,
    metric: Metric | Function,
    *,
    source: From | None = None,
    method: str = "attribution",
    **options: Any,
) -> Result:
    """An estimate of what `patch` (or without a source, `ablate`) would give, from one gradient for all.

    The estimate is `gradient · (new - old)` at the feature (Marks et al., 2024, arXiv:2403.19647), so that
    without a source the effect is minus gradient times activation; `method="integrated"` averages the
    gradient along the straight path of all features together. The error is a constant. The
    largest estimates and some at random are measured exactly as well: `result.rechecks`, `result.warnings`.

    Args:
        options: those of `ablate` and of `sweep`: `features`, `pos`, `recheck`, `steps`.

    Raises:
        InputError: for another method, and as `ablate` and `patch` do.
    """
    require_choice("method", method, ("attribution", "integrated"))
    if source is None:
        return ablate(model, tokens, dictionary, metric, method=method, **options)
    return patch(model, tokens, source, dictionary, metric, method=method, **options)


def _swept(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    dictionary: Dictionary,
    metric: Metric | Function,
    how: Operation,
    features: Sequence[int] | None,
    pos: Index,
    at: str | None,
    out: str | None,
    with_error: bool,
    **options: Any,
) -> Result:
    inputs = as_inputs(tokens, **{n: options.pop(n, None) for n in ("attention_mask", "token_type_ids")})
    memory = options.pop("memory", MEMORY)
    # The planner doesn't know of features: a row of them beside a row of the stream.
    memory = int(memory * model.cfg.d_model / (model.cfg.d_model + 2 * dictionary.config.d_sae))
    # Names of sweep's that stand for something here.
    normalise, allow_equal = options.pop("normalise", False), options.pop("allow_equal", False)
    options |= {"metric": metric, "memory": memory, "normalise": normalise}
    if isinstance(how, Interchange):
        options["source"] = how.source
    else:
        options["operation"] = how
    with splice(model, dictionary, at=at, out=out) as spliced:
        chosen = _chosen(model, inputs, how, spliced, pos, dictionary.config.d_sae, features)
        over = Site(spliced.features, pos=pos, neuron=chosen), "neuron"
        result = _named(sweep(model, inputs, over, allow_equal=allow_equal, **options))
        if with_error:
            # Controls are of the features, and an error that is 0 is a finding.
            options |= {"controls": 0, "allow_equal": True}
            error = sweep(model, inputs, (Site(spliced.error, pos=pos), "site"), **options)
            result = _joined(result, _one_cell(error))
    facts = {
        "site": spliced.site,
        "dictionary": f"{dictionary.config.architecture}, {dictionary.config.d_sae} features",
        "features": f"{len(chosen)} of {dictionary.config.d_sae}"
        + ("; of the others none is changed, so that their effect is 0" if features is None else ""),
        "error": "kept as it is in each run, and a constant to gradients",
    }
    return replace(result, provenance={**result.provenance, **facts})


def _chosen(
    model: HookedTransformer,
    inputs: Inputs,
    how: Operation,
    spliced: Spliced,
    pos: Index,
    d_sae: int,
    features: Sequence[int] | None,
) -> list[int]:
    """The features that are swept over."""
    if features is not None:
        wrong = [feature for feature in features if not 0 <= feature < d_sae]
        if wrong or not features:
            raise InputError(
                wanted=f"features from 0 to {d_sae - 1}",
                got=str(wrong or "none"),
                remedy="name others, or leave them out for all that change",
            )
        return list(features)
    selection = Selection(spliced.features, {"pos": pos}, inputs.shape[1])
    old = selection.get(_features(model, inputs, spliced), slice(None))
    changes = (old != 0).flatten(0, 1).any(0)
    if how.run is not None:
        there = _features(model, how.run, spliced)
        # Another length is told by the sweep, or meant: means over all positions.
        same = isinstance(how, Interchange) and there.shape[1] == inputs.shape[1]
        other = (selection.get(there, slice(None)) != old) if same else there != 0
        changes = other.flatten(0, 1).any(0) | (changes & (not same))
    found = changes.nonzero()[:, 0].tolist()
    if not found:
        raise InputError(
            wanted="a feature that the patch changes anywhere",
            got=f"none of {d_sae} at {spliced.features}",
            remedy="pass other tokens or positions, or see whether the dictionary belongs to this site",
        )
    return found


@torch.no_grad()
def _features(model: HookedTransformer, run: From, spliced: Spliced) -> Tensor:
    """Those of a run, or of a cache that was made within the splice."""
    if isinstance(run, Mapping):
        if spliced.features not in run:
            raise InputError(
                wanted=f"a cache with {spliced.features}",
                got="one without",
                remedy="make it within features.splice(...), or pass tokens",
            )
        return run[spliced.features]
    inputs = as_inputs(run)
    with model.recording([spliced.features]) as kept:
        model(inputs.tokens, None, **inputs.others)
    return kept[spliced.features]


def _one_cell(result: Result) -> Result:
    rechecks = tuple(replace(check, labels={"feature": ERROR}) for check in result.rechecks)
    return replace(result, dims=("feature",), coords={"feature": (ERROR,)}, rechecks=rechecks)


def _named(result: Result) -> Result:
    """The last dimension of a stream is called "neuron" elsewhere."""

    def renamed(check: Recheck) -> Recheck:
        labels = {("feature" if dim == "neuron" else dim): label for dim, label in check.labels.items()}
        return replace(check, labels=labels)

    return replace(
        result,
        dims=("feature",),
        coords={"feature": result.coords["neuron"]},
        rechecks=tuple(renamed(check) for check in result.rechecks),
        warnings=tuple(text.replace("neuron ", "feature ") for text in result.warnings),
    )


def _joined(features: Result, error: Result) -> Result:
    per_sample = None
    if features.per_sample is not None and error.per_sample is not None:
        per_sample = torch.cat([features.per_sample, error.per_sample])
    return replace(
        features,
        values=torch.cat([features.values, error.values]),
        coords={"feature": (*features.coords["feature"], *error.coords["feature"])},
        per_sample=per_sample,
        rechecks=(*features.rechecks, *error.rechecks),
        warnings=tuple(dict.fromkeys((*features.warnings, *error.warnings))),
    )
