"""Means with intervals, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unweave.analysis.intervals import estimate, over_seeds, share, student_t
from unweave.core.claims import Estimate


def test_interval_by_hand():
    # mean 3, squared deviations 4 + 1 + 0 + 9 = 14, s² = 14 / 3 (not 14 / 4), half 1.96 sqrt(14/3) / sqrt(4)
    found = estimate(torch.tensor([1.0, 2.0, 3.0, 6.0]), "nats")
    assert found.unit == "nats"
    assert found.value == pytest.approx(3.0)
    assert found.low == pytest.approx(3.0 - 2.117042, abs=1e-6)
    assert found.high == pytest.approx(3.0 + 2.117042, abs=1e-6)


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert estimate(torch.tensor([2.5]), "nats") == Estimate(2.5, None, None, "nats")
    none = estimate(torch.zeros(0))
    assert math.isnan(none.value)
    assert none.low is none.high is None


def test_equal_values_have_an_interval_of_width_zero():
    assert estimate(torch.full((5,), 0.25)) == Estimate(0.25, 0.25, 0.25)


def test_float32_values_are_averaged_in_float64():
    # In float32 the sum of these two, and their mean, would round to an even number.
    assert estimate(torch.tensor([2.0**24, 2.0**24 + 2])).value == 2.0**24 + 1


def test_the_interval_holds_the_truth_95_times_in_100():
    draws = torch.randn(2000, 100, generator=torch.Generator().manual_seed(0)) * 3.0 + 7.0
    found = [estimate(row) for row in draws]
    held = sum(e.low < 7.0 < e.high for e in found if e.low is not None and e.high is not None) / 2000
    assert held == pytest.approx(0.95, abs=0.015)  # three standard errors


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # From the printed tables of Student's t, 97.5%.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (7, 2.365), (10, 2.228), (30, 2.042)],
)
def test_students_quantiles_are_those_of_the_tables(degrees: int, quantile: float):
    assert student_t(degrees) == pytest.approx(quantile, abs=6e-4)


def test_over_few_seeds_the_interval_is_students():
    found = over_seeds(torch.tensor([1.0, 2.0, 3.0]), "nats")
    half = 4.303 / 3**0.5  # s is 1
    assert (found.value, found.unit) == (2.0, "nats")
    assert found.low == pytest.approx(2 - half, abs=1e-3)
    assert found.high == pytest.approx(2 + half, abs=1e-3)
    # The interval for hundreds of samples would be less than half as wide: far too sure of three seeds.
    assert estimate(torch.tensor([1.0, 2.0, 3.0])).high < 3.2 < found.high
    assert over_seeds(torch.tensor([1.5])).low is None


def test_a_share_has_wilsons_interval():
    # By hand, for 8 of 10: (8 + 1.9208)/(13.8416) = 0.71674, half 1.96 sqrt(1.6 + 0.9604)/13.8416 = 0.22658.
    found = share(8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.49016, 0.94332), abs=1e-4)
    # All of eight are no proof of all: the naive interval would be [1, 1].
    assert share(8, 8).low == pytest.approx(0.6756, abs=1e-3)
    assert (share(0, 8).low, share(8, 8).high) == (0.0, 1.0)
