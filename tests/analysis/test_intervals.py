"""Means with intervals, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unweave.analysis.intervals import estimate
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
