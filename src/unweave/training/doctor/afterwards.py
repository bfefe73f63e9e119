"""After a run, or during it: clipping, and its loss spikes by their causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from unweave.training.config import TrainConfig
from unweave.training.doctor.diagnosis import Diagnosis
from unweave.training.doctor.experiments import Confirmation
from unweave.training.doctor.finding import Finding
from unweave.training.history import StepRecord

__all__ = ["by_cause", "clipping", "spikes"]

LET_GO = 0.9  # of the steps of the second half: clipped at so many, and
OVER = 5.0  # times the limit at the median, clipping has become the learning rate

SOURCES = {
    "bad-batch": "",
    "attention-logits": "Dehghani et al. (2023), arXiv:2302.05442; Wortsman et al. (2023), arXiv:2309.14322",
    "second-moment-lag": "Wortsman et al. (2023), arXiv:2304.13013",
    "learning-rate-sharpness": "Cohen et al. (2022), arXiv:2207.14484",
}

UNEXPLAINED = "go on from the checkpoint before with a quarter of the learning rate"


def clipping(history: Sequence[StepRecord], config: TrainConfig) -> list[Finding]:
    """Gradients that are clipped at nearly every step of the second half of the run."""
    if config.max_grad_norm is None or len(history) < 20:
        return []
    half = history[len(history) // 2 :]
    share = mean(record.grad_norm > config.max_grad_norm for record in half)
    middle = median(record.grad_norm for record in half)
    if share < LET_GO or middle < OVER * config.max_grad_norm:
        return []
    return [
        Finding(
            "clipping-never-lets-go",
            f"{share:.0%} of the gradients of the run's second half were clipped to {config.max_grad_norm:g}, half of them "
            f"from more than {middle:.3g}: the clip, not lr, decides how large a step is",
            {"share": round(share, 4), "median norm": middle},
            "run again with max_grad_norm ten times larger, and compare the losses",
        )
    ]


def spikes(found: Sequence[Diagnosis], confirmed: Mapping[int, Confirmation] | None = None) -> list[Finding]:
    """One finding a cause (a step, for bad batches), told by its highest spike; the highest first.

    Args:
        confirmed: what experiments said, by the step of the spike.
    """
    confirmed = confirmed or {}
    return [_of_group(group, confirmed.get(group[0].spike.step)) for group in by_cause(found)]


def by_cause(found: Sequence[Diagnosis]) -> list[list[Diagnosis]]:
    """Spikes of one cause together, bad batches by themselves; in each group, and of the groups, the highest first."""
    groups: dict[str, list[Diagnosis]] = {}
    for one in sorted(found, key=lambda one: -one.spike.loss):
        own = f"{one.cause} {one.onset}" if one.cause == "bad-batch" else one.cause
        groups.setdefault(own, []).append(one)
    return list(groups.values())


def _of_group(group: Sequence[Diagnosis], confirmation: Confirmation | None) -> Finding:
    largest = group[0]
    evidence: dict[str, Any] = {
        "confidence": largest.confidence,
        "spikes": [one.to_dict() for one in group],
    }
    steps = ", ".join(str(one.spike.step) for one in group)
    one = len(group) == 1
    where = (
        f"loss spike at step {steps}"
        if one
        else f"{len(group)} loss spikes, at steps {steps} (the highest first)"
    )
    told = None if confirmation is None else confirmation.to_dict()
    details = tuple(one.in_short for one in group)
    if not largest.suspicions:
        why = (
            largest.unknowable[0]
            if largest.unknowable
            else "no batch, curvature, lag of the second moment or attention score stands out before"
        )
        said = f"{where}, without a cause that shows: {why}"
        return Finding("loss-spikes", said, evidence, UNEXPLAINED, details=details, confirmation=told)
    first = largest.suspicions[0]
    others = [other.cause for other in largest.suspicions[1:]]
    also = f"; {' and '.join(others)} show{'' if others[1:] else 's'} too" if others else ""
    if first.cause == "bad-batch":
        evidence = {"step": largest.onset, **largest.evidence["batch of the onset"], **evidence}
    return Finding(
        first.cause,
        f"{where}: {first.said}{also}",
        evidence,
        first.experiment.said,
        source=SOURCES[first.cause],
        details=details,
        confirmation=told,
    )
