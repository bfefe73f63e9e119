"""Values of edges, or of sets of them, as results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from unweave.analysis.edges.rewired import Rewired
from unweave.core.results import Recheck, Result
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import Operation
from unweave.engine.provenance import data_hash, weights_hash


def facts(work: Rewired, metric: Metric | Function, operation: Operation, method: str) -> dict[str, Any]:
    """What was run, on what, how."""
    dtype = str(work.sent.dtype).removeprefix("torch.")
    return {
        "metric": metric.name if isinstance(metric, Metric) else getattr(metric, "__name__", "a function"),
        "operation": f"edges cut: {operation.described()}",
        "method": method,
        "shape": work.shape.to_json(),
        "weights": weights_hash(work.model),
        "data": data_hash(work.base.inputs),
        "dtype": dtype,
        "device": str(work.sent.device),
        "samples": work.base.inputs.shape[0],
        "positions": work.base.inputs.shape[1],
        "plan": {"runs": work.runs, "batches": work.batches},
    }


def of_cells(
    work: Rewired,
    metric: Metric | Function,
    values: Tensor,
    labels: Mapping[str, Sequence[str]],
    provenance: Mapping[str, Any],
    *,
    source: Tensor | None = None,
    approximate: bool = False,
    rechecks: Sequence[Recheck] = (),
    warnings: Sequence[str] = (),
) -> Result:
    """A result with one dimension, whose cells are edges or sets of them.

    Args:
        values: `[cell, sample]`, or `[cell]` where the metric gives one number for all.
        source: the metric with every edge cut.
    """
    [dim] = labels
    baselines = {"clean": work.clean} | ({} if source is None else {"source": source})
    return Result(
        (values.mean(-1) if values.ndim == 2 else values).detach().cpu(),
        (dim,),
        {dim: tuple(labels[dim])},
        getattr(metric, "unit", ""),
        values.detach().cpu() if values.ndim == 2 else None,
        {name: value.detach().cpu() for name, value in baselines.items()},
        provenance,
        approximate,
        tuple(rechecks),
        tuple(warnings),
    )
