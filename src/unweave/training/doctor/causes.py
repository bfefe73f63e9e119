"""Causes of a spike, each a rule over what its witness saw; the most specific first.

The thresholds were written on runs of seeds 0 to 9 and d_model 16, before the confusion matrix of
docs/doctor.md was measured on other seeds and sizes, and stayed as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, median
from typing import Any

from unweave.training.config import TrainConfig
from unweave.training.doctor.diagnosis import Cause, Diagnosis, Experiment, Suspicion
from unweave.training.doctor.replay import RECENT, Change
from unweave.training.doctor.witness import BEFORE, Outlier, Witness

FAR = 6.0  # standard deviations of its loss above those of others, and
ABOVE = 1.3  # so many times their mean: a batch is strange
LAGGING = 2.3  # RMS_t at which Wortsman et al. (2023) saw spikes follow
LARGE_SCORE, GROWN = 100.0, 2.0  # of attention: nearly one-hot, and so many times as large as at first
CAP = 30.0
LOWER = 0.25  # of the learning rate


def bad_batch(seen: Witness, config: TrainConfig) -> Suspicion | None:
    """The onset's batch has an outlying loss, both just before its update and to the checkpoint's model.

    A state that is about to break finds some batch or other strange; one that was strange already,
    when nothing had happened yet, is what is special.
    """
    then, now = seen.batches
    strength = min(_outlying(then), _outlying(now))
    return _if_strong(
        "bad-batch",
        strength,
        f"the batch of step {seen.onset} is strange by itself: {now.loss:.3g} nats just before its update, where others have "
        f"{now.mean:.3g} ± {now.deviation:.2g}; to the model of step {seen.checkpoint} {then.loss:.3g} against {then.mean:.3g}",
        f"without the batch of step {seen.onset}",
        Change(without=frozenset({seen.onset})),
        seen,
    )


def _outlying(batch: Outlier) -> float:
    """How far its loss lies above the others', over how far a strange one's would."""
    away = (batch.loss - batch.mean) / max(batch.deviation, 1e-12)
    return min(away / FAR, batch.loss / (ABOVE * max(batch.mean, 1e-12)))


def attention_logits(seen: Witness, config: TrainConfig) -> Suspicion | None:
    """Scores so large that attention is all but a hard choice, and larger than they were."""
    then, (layer, head, now) = seen.first_score, seen.largest_score
    return _if_strong(
        "attention-logits",
        min(now / LARGE_SCORE, now / max(GROWN * then, 1e-12)),
        f"attention scores of layer {layer}, head {head} reach {now:.3g} at step {seen.onset}, "
        f"where the largest were {then:.3g} at the first checkpoint",
        f"with attn_scores_soft_cap={CAP:g}",
        Change(soft_cap=CAP),
        seen,
    )


def second_moment_lag(seen: Witness, config: TrainConfig) -> Suspicion | None:
    """Gradients that have outgrown Adam's memory of them, where that is longer than about 20 steps."""
    if config.betas[1] <= RECENT:
        return None
    step, name, rms = seen.largest_rms
    return _if_strong(
        "second-moment-lag",
        rms / LAGGING,
        f"Adam's second moment lags: at step {step}, {seen.onset - step} before the rise, updates of {name} have "
        f"an RMS ratio of {rms:.3g} (1 where it keeps up), with beta2 {config.betas[1]:g}",
        f"with beta2 {RECENT:g}",
        Change(beta2=RECENT),
        seen,
    )


def learning_rate_sharpness(seen: Witness, config: TrainConfig) -> Suspicion | None:
    """Curvature, as Adam's preconditioner leaves it, above what its step can bear."""
    if not seen.curvature:
        return None
    worst = max(seen.curvature, key=lambda look: look.ratio)
    lower = min(LOWER, 0.5 / max(worst.ratio, 1e-12))
    return _if_strong(
        "learning-rate-sharpness",
        worst.ratio,
        f"the learning rate is too large for the curvature: {seen.onset - worst.step} steps before the rise the sharpness "
        f"that Adam sees is {worst.ratio:.3g} times the largest that is stable",
        f"with {lower:.2g} times the learning rate",
        Change(lr=lower),
        seen,
    )


CAUSES: tuple[Callable[[Witness, TrainConfig], Suspicion | None], ...] = (
    bad_batch,
    attention_logits,
    second_moment_lag,
    learning_rate_sharpness,
)


def diagnosed(seen: Witness, config: TrainConfig) -> Diagnosis:
    """What the evidence of one spike speaks for."""
    found = tuple(s for cause in CAUSES if (s := cause(seen, config)) is not None)
    confidence = ("none", "likely")[len(found)] if len(found) < 2 else "possible"
    if found and found[0].cause == "bad-batch":
        confidence = "likely"
    unknowable: list[str] = []
    if not seen.exact:
        unknowable.append(
            "the replay differs from the history (other threads, versions or devices?): its numbers are those of a like run"
        )
    if seen.onset - seen.checkpoint < BEFORE:
        unknowable.append(
            f"the checkpoint lies {seen.onset - seen.checkpoint} steps before the rise: checkpoint_every={BEFORE} "
            "would show more of how it came"
        )
    return Diagnosis(
        seen.spike,
        seen.onset,
        found[0].cause if found else "unknown",
        confidence,
        evidence_of(seen, config),
        found,
        tuple(unknowable),
    )


def evidence_of(seen: Witness, config: TrainConfig) -> dict[str, Any]:
    """All numbers, for every cause."""
    before = seen.preceding[:-1] or seen.preceding
    step, name, rms = seen.largest_rms
    worst = max(seen.curvature, key=lambda look: look.ratio, default=None)
    return {
        "checkpoint": seen.checkpoint,
        "replay is exact": seen.exact,
        "level before": seen.level,
        "batch of the onset": _told(seen.batches[1]),
        "batch of the onset, to the checkpoint's model": _told(seen.batches[0]),
        "sharpness over the largest stable": None if worst is None else worst._asdict(),
        "sharpness, every look": [look._asdict() for look in seen.curvature],
        "largest update RMS ratio": {"step": step, "parameter": name, "ratio": rms},
        "update RMS ratio by parameter": seen.rms_by_parameter,
        "share clipped before": mean(step.clip < 1.0 for step in before),
        "gradient norm before, median": median(step.grad_norm for step in before),
        "gradient norm at the onset": seen.preceding[-1].grad_norm,
        "largest attention score by checkpoint, layer and head": [
            {"step": step, "scores": [list(layer) for layer in scores]} for step, scores in seen.logits
        ],
        "learning rate at the onset": seen.preceding[-1].lr,
        "beta2": config.betas[1],
    }


def _told(batch: Outlier) -> dict[str, float]:
    return {
        "its loss": round(batch.loss, 4),
        "others, mean": round(batch.mean, 4),
        "others, standard deviation": round(batch.deviation, 4),
    }


def _if_strong(
    cause: Cause, strength: float, said: str, what: str, change: Change, seen: Witness
) -> Suspicion | None:
    if not strength >= 1.0:  # NaN is no evidence
        return None
    return Suspicion(cause, round(strength, 4), said, Experiment(seen.checkpoint, what, change))
