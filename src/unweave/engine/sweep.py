"""The same measurement under many patches, one at a time, planned so that little is computed twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor
from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.core.events import emit
from unweave.core.results import Result
from unweave.engine.approximation import Found, approximated
from unweave.engine.base import undisturbed
from unweave.engine.baselines import normalised, random_controls, require_gap
from unweave.engine.edits import require_changed
from unweave.engine.grid import parsed
from unweave.engine.inputs import Inputs, as_inputs, as_source, require_model
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import Apply, From, Interchange, Operation
from unweave.engine.planner import MEMORY
from unweave.engine.provenance import data_hash, weights_hash
from unweave.engine.study import Study
from unweave.engine.telling import told
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

METHODS = ("exact", "attribution", "integrated")


def sweep(
    model: HookedTransformer,
    tokens: Inputs | Tensor,
    over: Any,
    *,
    metric: Metric | Function,
    source: From | None = None,
    operation: Operation | Callable[[Tensor], Tensor] | None = None,
    method: str = "exact",
    normalise: bool = False,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    memory: int = MEMORY,
    controls: int = 8,
    recheck: int = 5,
    steps: int = 16,
    seed: int = 0,
    allow_equal: bool = False,
    progress: bool = False,
) -> Result:
    """Run `tokens` once for each patch, and measure each run.

    The numbers are those of the loop that runs the whole model once a patch. What doesn't change
    them is left out: layers before the first one touched, positions before the first one touched
    (where attention looks back only), and logits that the metric doesn't read. Hooks that are on
    the model act in every run; then each patch runs alone, on all positions. The run without
    patches, and those that patches come from, are made anew in every call: weights that were
    changed since the last one are seen.

    Args:
        over: a site, and the axes along which it is divided: `("z", "layer", "head")`,
            `(Site("resid_pre", pos=slice(3, None)), "layer", "pos")`; axes are "site", "layer",
            "pos", "head", "neuron" and "key". A site alone: layers and positions, or layers and
            heads where it has heads. Or a list of patches, or a mapping from labels to patches,
            each an intervention or a list of them.
        metric: a `Metric`, or a function of logits `[sample, pos, d_vocab_out]` that gives a number
            or one for each sample. A function gets all logits, which costs their computation.
        source: the run, or the cache, that values come from: each patch puts there what the source
            has. One of `source` and `operation`, unless `over` is a list.
        operation: what is done at each site instead, or a function of the selected entries.
        method: "exact"; or an approximation by gradients, "attribution" (one gradient for all) or
            "integrated" (`steps` of them for each hook), whose result says how far it was off.
        normalise: 0 is the run without patches, 1 the source's.
        memory: bytes that patched runs may take beside the model and the run without patches; one
            patch, of one sample where it can be run alone, is the least.
        controls: how many cells are run again with random changes of the same size, for the
            baseline "random"; 0 for none.
        recheck: how many cells with the largest estimates, and how many at random, an approximation
            checks exactly.
        steps: points along the path of `method="integrated"`.
        seed: of random controls, and of the cells that are checked.
        allow_equal: whether it is fine if no patch changes anything.
        progress: show a bar.

    Raises:
        HookError: for a site that the model doesn't have.
        InputError: for runs of different lengths, values that don't fit their site, a gap too small
            to normalise by, or patches that are equal everywhere to what they replace.
    """
    model = require_model(model)
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    require_choice("method", method, METHODS)
    done, other = _done(over, source, operation), None if source is None else _run(source, inputs)
    with undisturbed(model), tqdm(desc="sweep", unit="patch", disable=not progress) as bar:
        study = Study.begun(
            model, inputs, over, done, metric, memory, bar.update, None if other is None else source
        )
        bar.reset(total=len(study.patches) + controls)
        baselines = {"clean": study.clean} | ({} if other is None else {"source": study.at(other)})
        if normalise:
            require_gap(baselines)
        random = random_controls(study.patches, controls, seed)
        if method == "exact":
            # Together: controls that run beside the patches cost little.
            values = study.executor.measured([*study.patches, *random])
            found, values = Found(values[: len(study.patches)]), values[len(study.patches) :]
        else:
            found = approximated(study, method, steps, recheck, seed)
            values = study.executor.measured(random)
        if controls:
            baselines["random"] = values
    if not allow_equal:
        require_changed(study.executor.watch.changed)
    facts = {
        "metric": _name(metric),
        "values": "signed",
        "operation": "each patch's own" if done is None else done.described(),
        "method": method if method != "integrated" else f"integrated, {steps} steps",
        "weights": weights_hash(model),
        "data": data_hash(inputs),
        "source data": None if other is None else data_hash(other),
        "dtype": str(model.W_E.dtype).removeprefix("torch."),
        "device": str(model.W_E.device),
        "seed": seed,
        "samples": inputs.shape[0],
        "positions": inputs.shape[1],
        "plan": study.plan(),
    }
    result = _shaped(study, found, baselines, facts, getattr(metric, "unit", ""), method != "exact")
    result = normalised(result) if normalise else result
    emit("sweep", lambda: told(result))
    return result


def _done(over: Any, source: From | None, operation: Any) -> Operation | None:
    """What is done at the sites of a grid; None for a list, whose patches say it themselves."""
    if parsed(over) is None:
        if source is not None or operation is not None:
            raise InputError(
                wanted="a list of patches alone, each of which says what is done",
                got="a source or operation beside it",
                remedy="leave that out, or sweep over a site",
            )
        return None
    if (source is None) == (operation is None):
        raise InputError(
            wanted="either source= (a run to take values from) or operation= (Zero(), Mean(), ...)",
            got="neither" if source is None else "both",
            remedy="give one of them",
        )
    if source is not None:
        return Interchange(source)
    if isinstance(operation, Operation):
        return operation
    if not callable(operation):
        raise InputError(
            wanted="an operation, as Zero(), or a function of the selected entries",
            got=type(operation).__name__,
            remedy="look at unweave.engine for the operations that there are",
        )
    return Apply(cast(Callable[[Tensor], Tensor], operation))


def _run(source: From, inputs: Inputs) -> Inputs | None:
    """The source, if it is a run that can be measured as the tokens' own is."""
    given = as_source(source, inputs)
    if not isinstance(given, Inputs):
        return None
    if given.shape[1] != inputs.shape[1]:
        raise InputError(
            wanted=f"a source of {inputs.shape[1]} positions, as the tokens have",
            got=str(given.shape[1]),
            remedy="make both runs of one length, or sweep over a list of patches that say which positions are meant: "
            "Site(...).interchange(source, pos=...)",
        )
    return given if given.shape == inputs.shape else None


def _shaped(
    study: Study,
    found: Found,
    baselines: dict[str, Tensor],
    facts: dict[str, Any],
    unit: str,
    approximate: bool,
) -> Result:
    grid = study.grid
    by_sample = found.values.ndim == 2
    per_sample = found.values.unflatten(0, grid.shape).cpu() if by_sample else None
    values = found.values.mean(-1) if by_sample else found.values
    return Result(
        values.unflatten(0, grid.shape).cpu(),
        grid.dims,
        grid.coords,
        unit,
        per_sample,
        {name: value.detach().cpu() for name, value in baselines.items()},
        facts,
        approximate,
        found.rechecks,
        found.warnings,
    )


def _name(metric: Metric | Function) -> str:
    return metric.name if isinstance(metric, Metric) else getattr(metric, "__name__", "a function")
