"""Calibration against sums done by hand."""

from __future__ import annotations

import json
import math

import pytest

from unweave.core.errors import InputError
from unweave.journal import Evidence, Experiment, Journal, Outcome, Prediction, calibration, wilson


def predicted(journal: Journal, *pairs: tuple[float | None, str | None]) -> None:
    for number, (probability, result) in enumerate(pairs):
        prediction = journal.add(Prediction(f"p{number}", probability))
        if result:
            journal.add(Outcome(result), about=prediction.id)


def test_brier_and_base_rate_by_hand(journal: Journal):
    predicted(journal, (0.9, "yes"), (0.9, "no"), (0.6, "yes"), (0.2, "no"))
    found = calibration(journal)
    # 0.1² + 0.9² + 0.4² + 0.2² = 0.01 + 0.81 + 0.16 + 0.04
    assert found.brier == pytest.approx(1.02 / 4)
    assert found.base_rate == 0.5
    assert found.brier_of_base_rate == 0.25
    # A plausible mistake: the distance in place of its square.
    assert pytest.approx(found.brier) != (0.1 + 0.9 + 0.4 + 0.2) / 4


def test_surprises_come_first(journal: Journal):
    predicted(journal, (0.75, "yes"), (0.75, "no"), (0.125, "yes"), (0.01, "no"))
    found = calibration(journal)
    assert [one.statement for one in found.forecasts] == ["p2", "p1", "p0", "p3"]
    assert [one.surprise for one in found.forecasts[:2]] == [3.0, 2.0]  # -log2(1/8), -log2(1/4)
    # A prediction of 1% that failed is no surprise: by -log2(p) alone it would be the greatest.
    assert found.forecasts[-1].surprise < 0.02


def test_the_impossible_is_told(journal: Journal):
    predicted(journal, (0, "yes"), (1, "yes"))
    found = calibration(journal)
    assert found.forecasts[0].surprise == math.inf
    assert "1 outcome(s) had been called impossible" in found.warnings[1]
    assert (
        json.loads(json.dumps(found.to_dict(), allow_nan=False))["surprises_first"][0]["surprise_bits"]
        is None
    )


def test_bins_and_their_edges(journal: Journal):
    predicted(journal, (0.6, "yes"), (0.59, "no"), (1.0, "yes"), (0.8, "no"), (0.0, "no"))
    found = calibration(journal)
    assert [(one.low, one.n, one.true) for one in found.bins] == [
        (0.0, 1, 0),
        (0.4, 1, 0),
        (0.6, 1, 1),
        (0.8, 2, 1),
    ]
    assert found.bins[-1].said == pytest.approx(0.9)
    assert found.bins[-1].share == 0.5


@pytest.mark.parametrize(
    ("true", "n", "low", "high"),
    [
        # Newcombe, 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_as_published(true: int, n: int, low: float, high: float):
    assert wilson(true, n) == pytest.approx((low, high), abs=5e-5)
    # The usual mistake, the normal interval, is of no width where none came true.
    share = true / n
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    assert (share - half, share + half) != pytest.approx((low, high), abs=5e-4)


def test_too_sure_is_said_only_beyond_the_interval(journal: Journal):
    predicted(journal, *[(0.9, "yes")] * 5, *[(0.9, "no")] * 5, *[(0.1, "no")] * 3)
    high, low = calibration(journal).bins[1], calibration(journal).bins[0]
    assert high.off == "too sure"  # 5 of 10: 24% to 76%
    assert low.off == ""  # 0 of 3: 0% to 56% holds 10%


def test_what_does_not_count_is_counted(journal: Journal):
    predicted(journal, (0.7, None), (0.7, "unclear"), (None, "yes"))
    run = journal.add(Experiment("x"))
    journal.add(Evidence("seen"), about=run.id)
    late = journal.add(Prediction("sure", 0.99), about=run.id)
    journal.add(Outcome("yes"), about=late.id)
    found = calibration(journal)
    assert found.brier is None
    assert found.left_out == {
        "without outcome": 1,
        "outcome unclear": 1,
        "without a probability": 1,
        "made after its evidence": 1,
    }


def test_an_unclear_outcome_that_became_clear_counts(journal: Journal):
    prediction = journal.add(Prediction("x", 0.5))
    journal.add(Outcome("unclear"), about=prediction.id)
    journal.add(Outcome("no"), about=prediction.id)
    assert calibration(journal).brier == 0.25


def test_bad_numbers_are_refused(journal: Journal):
    with pytest.raises(InputError, match="wanted at least one bin"):
        calibration(journal, n_bins=0)
    with pytest.raises(InputError, match="wanted 0 to n true ones of n cases; got 3 of 2"):
        wilson(3, 2)
