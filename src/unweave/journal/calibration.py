"""How well one predicts: the Brier score, reliability with its uncertainty, and what surprised most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.entries import Entry
from unweave.journal.research import ResearchLog, part
from unweave.journal.store import Journal

Z = 1.959964  # the normal distribution's 97.5% quantile
FEW = 10


@dataclass(frozen=True)
class Forecast:
    """A prediction with a probability, and whether it came true."""

    entry: Entry
    statement: str
    probability: float
    came_true: bool

    @property
    def surprise(self) -> float:
        """How surprising the outcome was, in bits: -log2 of the probability that had been given to it."""
        given = self.probability if self.came_true else 1 - self.probability
        return -math.log2(given) if given > 0 else math.inf


@dataclass(frozen=True)
class Bin:
    """The predictions whose probability lay from `low` to `high`.

    Args:
        low, high: the edges; a probability on an inner edge counts to the upper bin.
        n: how many there are.
        true: how many of them came true.
        said: their mean probability.
        interval: of the share that comes true: Wilson's, 95%.
    """

    low: float
    high: float
    n: int
    true: int
    said: float
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        """The share that came true."""
        return self.true / self.n

    @property
    def off(self) -> str:
        """Either "" or how it is off: where `said` lies outside of the interval."""
        low, high = self.interval
        return "too sure" if self.said > high else "not sure enough" if self.said < low else ""


@dataclass(frozen=True)
class Calibration:
    """What came of a journal's predictions.

    Args:
        forecasts: those with a probability and a clear outcome, the most surprising first.
        bins: those that hold any.
        brier: the mean of (probability - outcome)², from 0, the best, to 1; None without forecasts.
        base_rate: the share that came true.
        left_out: how many predictions do not count, by why.
        warnings: what to know before using the numbers.
    """

    forecasts: tuple[Forecast, ...]
    bins: tuple[Bin, ...]
    brier: float | None
    base_rate: float | None
    left_out: dict[str, int]
    warnings: tuple[str, ...]

    @property
    def brier_of_base_rate(self) -> float | None:
        """The Brier score of always saying the base rate, known only afterwards."""
        return None if self.base_rate is None else self.base_rate * (1 - self.base_rate)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; an infinite surprise is null."""
        return {
            "n": len(self.forecasts),
            "brier": self.brier,
            "base_rate": self.base_rate,
            "brier_of_base_rate": self.brier_of_base_rate,
            "left_out": self.left_out,
            "bins": [{**vars(one), "share": one.share, "off": one.off} for one in self.bins],
            "surprises_first": [
                {
                    "id": one.entry.id,
                    "seq": one.entry.seq,
                    "statement": one.statement,
                    "probability": one.probability,
                    "came_true": one.came_true,
                    "surprise_bits": one.surprise if math.isfinite(one.surprise) else None,
                }
                for one in self.forecasts
            ],
            "warnings": [*self.warnings],
        }


def calibration(journal: Journal, *, n_bins: int = 5) -> Calibration:
    """The calibration of all predictions in a journal.

    Those with a probability and the outcome yes or no count, except for what came after its evidence. The Brier
    score is that of one event (Brier, 1950, "Verification of forecasts expressed in terms of probability"); the intervals are
    Wilson's (1927), which hold for few predictions too.

    Args:
        journal: an open one.
        n_bins: of equal width.

    Raises:
        InputError: for fewer than one bin.
    """
    if n_bins < 1:
        raise InputError(wanted="at least one bin", got=str(n_bins), remedy="write n_bins=5")
    log = ResearchLog.read(journal)
    late = {prediction.id for prediction, _ in log.late()}
    forecasts, left_out = list[Forecast](), dict[str, int]()
    for prediction in log.of("prediction"):
        outcome, probability = log.outcome(prediction), part(prediction, "probability")
        result = None if outcome is None else part(outcome, "result")
        why = (
            "made after its evidence"
            if prediction.id in late
            else "without outcome"
            if result is None
            else "outcome unclear"
            if result == "unclear"
            else "without a probability"
            if probability is None
            else ""
        )
        if why or probability is None:
            left_out[why] = left_out.get(why, 0) + 1
        else:
            statement = str(part(prediction, "statement"))
            forecasts.append(Forecast(prediction, statement, float(probability), result == "yes"))
    n = len(forecasts)
    brier = sum((one.probability - one.came_true) ** 2 for one in forecasts) / n if n else None
    rate = sum(one.came_true for one in forecasts) / n if n else None
    forecasts.sort(key=lambda one: (-one.surprise, one.entry.seq))
    return Calibration(
        tuple(forecasts), _bins(forecasts, n_bins), brier, rate, left_out, _warnings(forecasts)
    )


def wilson(true: int, n: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, 1927): with few cases it stays within 0 and 1, and honest.

    Raises:
        InputError: without a case, or with more true ones than cases.
    """
    if n < 1 or not 0 <= true <= n:
        raise InputError(wanted="0 to n true ones of n cases", got=f"{true} of {n}", remedy="count again")
    centre = (true + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(true * (n - true) / n + z**2 / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def _bins(forecasts: list[Forecast], n_bins: int) -> tuple[Bin, ...]:
    bins: list[Bin] = []
    for number in range(n_bins):
        # The last one holds 100% too. A hair's breadth keeps 0.6 out of the bin below it.
        held = [one for one in forecasts if min(int(one.probability * n_bins + 1e-9), n_bins - 1) == number]
        if held:
            n, true = len(held), sum(one.came_true for one in held)
            said = sum(one.probability for one in held) / n
            bins.append(Bin(number / n_bins, (number + 1) / n_bins, n, true, said, wilson(true, n)))
    return tuple(bins)


def _warnings(forecasts: list[Forecast]) -> tuple[str, ...]:
    said: list[str] = []
    if 0 < len(forecasts) < FEW:
        said.append(f"{len(forecasts)} prediction(s) are too few to say how well calibrated they are.")
    certain = sum(math.isinf(one.surprise) for one in forecasts)
    if certain:
        said.append(
            f"{certain} outcome(s) had been called impossible: say 1% or 99% where one might be wrong."
        )
    return tuple(said)
