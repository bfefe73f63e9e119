"""What the doctor says of one spike: its cause, by which numbers, and the cheapest experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unweave.training.doctor.replay import Change
from unweave.training.spikes import Spike

Cause = Literal[
    "bad-batch",
    "attention-logits",
    "second-moment-lag",
    "learning-rate-sharpness",
    "unknown",
]


@dataclass(frozen=True)
class Experiment:
    """The cheapest experiment that tells whether a cause was one: a replay with something changed.

    Args:
        start: the step of the checkpoint that it goes on from.
        what: the change in words, as "with beta2 0.95".
    """

    start: int
    what: str
    change: Change

    @property
    def said(self) -> str:
        """A sentence for people."""
        return f"go on from step {self.start} {self.what}"


@dataclass(frozen=True)
class Suspicion:
    """One cause that the evidence speaks for.

    Args:
        strength: the number that speaks for it over the least that would: above 1.
    """

    cause: Cause
    strength: float
    said: str
    experiment: Experiment


@dataclass(frozen=True)
class Diagnosis:
    """One spike, and what preceded it.

    Args:
        onset: the step at which the loss began to rise; `spike.step` is its highest.
        cause: the first of the suspicions; "unknown" if there is none.
        confidence: "likely": one cause alone shows; "possible": others show too, and only the
            experiment parts them; "none": no cause shows, or the run lacks what would tell.
        evidence: all that was measured, for every cause.
        suspicions: the causes that the evidence speaks for, the most specific first.
        unknowable: what this run's files can't tell, and which setting would have let them.
    """

    spike: Spike
    onset: int
    cause: Cause
    confidence: Literal["likely", "possible", "none"]
    evidence: Mapping[str, Any]
    suspicions: tuple[Suspicion, ...] = ()
    unknowable: tuple[str, ...] = field(default=())

    @property
    def in_short(self) -> str:
        """The numbers that matter, on a line."""
        seen = self.evidence
        told = f"step {self.spike.step}: loss {self.spike.loss:.3g}, from {seen['level before']:.3g}"
        if "checkpoint" not in seen:
            return told
        batch, rms = seen["batch of the onset"], seen["largest update RMS ratio"]
        sharp = seen["sharpness over the largest stable"]
        scores = seen["largest attention score by checkpoint, layer and head"]
        first, last = (max(v for layer in scores[n]["scores"] for v in layer) for n in (0, -1))
        curvature = "" if sharp is None else f", sharpness {sharp['ratio']:.2g} × the largest stable"
        return (
            f"{told}; rise from step {self.onset}{curvature}, update RMS ratio {rms['ratio']:.2g} ({rms['parameter']}), "
            f"batch {batch['its loss']:.2g} (others {batch['others, mean']:.2g}), "
            f"scores {last:.2g} (at first {first:.2g}), clipped {seen['share clipped before']:.0%}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "step": self.spike.step,
            "loss": self.spike.loss,
            "onset": self.onset,
            "cause": self.cause,
            "confidence": self.confidence,
            "evidence": dict(self.evidence),
            "suspicions": [
                {"cause": s.cause, "strength": s.strength, "said": s.said, "experiment": s.experiment.said}
                for s in self.suspicions
            ],
            "unknowable": list(self.unknowable),
        }
