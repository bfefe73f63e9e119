"""Attribution patching: activation patching of everything at the price of two runs and a gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

HEADS = ("z", "layer", "head")


def attribution_patching(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    source: From,
    metric: Metric | Function,
    *,
    over: Any = HEADS,
    method: str = "attribution",
    **options: Any,
) -> Result:
    """An estimate of what `sweep(model, tokens, over, source=source, metric=metric)` would give.

    The estimate is `gradient · (source - clean)` (Nanda, 2023, "Attribution patching"), or with
    `method="integrated"` the same with the gradient averaged along the path. It is local: it fails
    where the model bends between the two runs. So the largest estimates, some others, and each
    layer as a whole are measured exactly as well: see `result.rechecks` and `result.warnings`.

    Args:
        over: as in `sweep`; every head at all positions by default.
        options: those of `sweep`: `recheck`, `steps`, `normalise` and so on.

    Raises:
        InputError: for `method="exact"`, which `sweep` is for, and what `sweep` refuses.
    """
    if method not in ("attribution", "integrated"):
        raise InputError(
            wanted='method="attribution" or "integrated"',
            got=repr(method),
            remedy="for exact values call unweave.sweep",
        )
    return sweep(model, tokens, over, source=source, metric=metric, method=method, **options)
