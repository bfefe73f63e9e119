"""How much a change of the run matters, by the metric."""

from __future__ import annotations

from torch import Tensor

from unweave.analysis.edges.rewired import Rewired
from unweave.engine.metrics import Bound


def damage(work: Rewired, before: Tensor, after: Tensor) -> Tensor:
    """What going from `before` to `after` (each `[*set, sample]`, or `[*set]`) costs: a number a set.

    A metric that compares with the run itself, as KL does, says what is worse: it is how much that rises on
    average. Of another, it is the mean absolute change: where a change helps some samples and harms others,
    it counts.
    """
    change = after - before
    if isinstance(work.metric, Bound) and work.metric.metric.compares:
        return change.mean(-1)
    return change.abs().mean(-1) if work.clean.ndim else change.abs()
