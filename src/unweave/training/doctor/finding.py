"""What the doctor says: what is wrong, by which numbers, and how to be sure of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WARNING, ADVICE = "warning", "advice"


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor found.

    Args:
        code: what it is, in one word with hyphens.
        said: the sentence for people.
        evidence: the numbers that it rests on.
        experiment: the cheapest experiment that would confirm or refute it.
        severity: "warning", or "advice" where nothing is wrong yet.
        source: the paper or page that it comes from, where there is one.
        details: its numbers in short, a line for each spike that it tells of.
        confirmation: what the experiment said, if it was run: see `Confirmation.to_dict`.
    """

    code: str
    said: str
    evidence: Mapping[str, Any]
    experiment: str
    severity: str = WARNING
    source: str = ""
    details: tuple[str, ...] = ()
    confirmation: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "said": self.said,
            "evidence": dict(self.evidence),
            "experiment": self.experiment,
            "source": self.source,
            "details": list(self.details),
            "confirmation": None if self.confirmation is None else dict(self.confirmation),
        }


@dataclass(frozen=True)
class Examination:
    """All that was found, and what was looked at.

    Args:
        looked_at: the names of the examinations that were made.
        skipped: those that could not be made, and why.
    """

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def healthy(self) -> bool:
        """Whether there is no warning."""
        return all(finding.severity != WARNING for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "healthy": self.healthy,
            "findings": [finding.to_dict() for finding in self.findings],
            "looked_at": list(self.looked_at),
            "skipped": dict(self.skipped),
        }
