"""Claims: what is predicted stands before what is measured, and the verdict follows from both.

No torch here: the journal keeps the same records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a test says of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Estimate:
    """A measured number, with its 95% interval where it is a sample mean."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON values, to six digits."""
        interval = None if self.low is None else [_json(self.low), _json(self.high)]
        return {"value": _json(self.value), "interval": interval, "unit": self.unit}


@dataclass(frozen=True)
class Check:
    """One threshold, set beforehand: the whole interval must lie above, or below, it.

    A check on a control says whether the test was able to tell anything at all.
    """

    name: str
    estimate: Estimate
    above: float | None = None
    below: float | None = None
    control: bool = False

    def __post_init__(self) -> None:
        assert (self.above is None) != (self.below is None), "a check has one threshold"

    @property
    def wanted(self) -> str:
        """The threshold in words."""
        return f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"

    @property
    def outcome(self) -> str:
        """Either "passed", "failed", or, when the interval holds the threshold, "unclear"."""
        low = self.estimate.value if self.estimate.low is None else self.estimate.low
        high = self.estimate.value if self.estimate.high is None else self.estimate.high
        if math.isnan(self.estimate.value):
            return "unclear"
        if self.above is not None:
            return "passed" if low > self.above else "failed" if high <= self.above else "unclear"
        assert self.below is not None
        return "passed" if high < self.below else "failed" if low >= self.below else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """The threshold, what was measured, and the outcome, as JSON values."""
        return {
            "name": self.name,
            **self.estimate.to_dict(),
            "wanted": self.wanted,
            "outcome": self.outcome,
            "control": self.control,
        }


@dataclass(frozen=True)
class Finding:
    """What a claim's test measured, and the verdict that follows."""

    measured: Mapping[str, Estimate]
    control: Mapping[str, Estimate]
    verdict: Verdict
    reason: str
    checks: tuple[Check, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


def judge(checks: tuple[Check, ...]) -> tuple[Verdict, str]:
    """The verdict of several thresholds together, and the sentence that says why.

    A control that did not come out leaves the claim inconclusive, whatever the rest says. With
    the controls in order, one clear failure refutes, and an interval that holds its threshold
    leaves the claim open.
    """
    assert any(not check.control for check in checks), "nothing but controls supports no claim"
    for controls, outcome, verdict in (
        (True, "failed", Verdict.INCONCLUSIVE),
        (True, "unclear", Verdict.INCONCLUSIVE),
        (False, "failed", Verdict.REFUTED),
        (False, "unclear", Verdict.INCONCLUSIVE),
    ):
        hits = [check for check in checks if check.control == controls and check.outcome == outcome]
        if hits:
            told = "; ".join(f"{c.name} is {c.estimate.value:.4g}, wanted {c.wanted}" for c in hits)
            return verdict, ("control: " if controls else "") + told
    return Verdict.SUPPORTED, f"all {len(checks)} thresholds, set beforehand, are met"


@dataclass(frozen=True)
class Claim:
    """A statement that can fail, with its rivals and everything that is declared before measuring.

    `amended` tells what was changed after results had been seen, which ones, and why.
    """

    id: str
    title: str
    statement: str
    rivals: tuple[str, ...]
    prediction: str
    threshold: str
    control: str
    test: Callable[[Any], Finding]
    amended: str = ""

    def tested(self, study: Any) -> dict[str, Any]:
        """Measure on `study`, and give the whole record as JSON values."""
        finding = self.test(study)
        return {
            "id": self.id,
            "title": self.title,
            "statement": self.statement,
            "rivals": list(self.rivals),
            "prediction": self.prediction,
            "threshold": self.threshold,
            "control_design": self.control,
            "amended": self.amended,
            "measured": _rows(finding.measured),
            "control": _rows(finding.control),
            "checks": [check.to_dict() for check in finding.checks],
            "verdict": str(finding.verdict),
            "reason": finding.reason,
            "details": dict(finding.details),
        }


def claim(
    *,
    id: str,
    title: str,
    statement: str,
    rivals: tuple[str, ...],
    prediction: str,
    threshold: str,
    control: str,
    amended: str = "",
) -> Callable[[Callable[[Any], Finding]], Claim]:
    """Turn a function that measures into a Claim; what stands above the function was said before."""

    def declare(test: Callable[[Any], Finding]) -> Claim:
        return Claim(id, title, statement, rivals, prediction, threshold, control, test, amended)

    return declare


def _rows(estimates: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    return [{"name": name, **estimate.to_dict()} for name, estimate in estimates.items()]


def _json(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
