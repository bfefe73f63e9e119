"""Schedules against values worked by hand, their written form, and what is said of them."""

from __future__ import annotations

import json
import math

import pytest

from unweave.core.errors import InputError
from unweave.training import (
    Constant,
    Cosine,
    InverseSquareRoot,
    Larger,
    LinearDecay,
    LinearWarmup,
    Product,
    Ramp,
    Smaller,
    Then,
    WarmupStableDecay,
)
from unweave.training.schedules import SCHEDULES, described, plot_schedules, schedule_from, schedule_to_dict

BY_HAND = [
    (Constant(0.5), {0: 0.5, 99: 0.5}),
    (Ramp(4), {0: 0, 2: 0.5, 8: 2}),
    (LinearDecay(10, final=0.2), {0: 1, 5: 0.6, 10: 0.2, 99: 0.2}),
    (Cosine(8), {0: 1, 2: (1 + math.sqrt(0.5)) / 2, 4: 0.5, 8: 0, 99: 0}),
    (Cosine(8, final=0.1), {4: 0.55, 8: 0.1}),
    (WarmupStableDecay(4, 3, 2, final=0.5), {0: 0, 2: 0.5, 4: 1, 7: 1, 8: 0.75, 9: 0.5, 50: 0.5}),
    (InverseSquareRoot(4), {0: 0, 2: 0.5, 4: 1, 16: 0.5, 64: 0.25}),
    (Product(LinearWarmup(4), LinearDecay(8)), {0: 0, 2: 0.375, 4: 0.5, 8: 0}),
    (Smaller(Ramp(4), Constant()), {0: 0, 2: 0.5, 4: 1, 400: 1}),
    (Larger(Ramp(4), Constant()), {0: 1, 2: 1, 4: 1, 400: 100}),
    # The second part counts from where the first ends.
    (Then(4, LinearWarmup(4), LinearDecay(4)), {2: 0.5, 4: 1, 6: 0.5, 8: 0}),
]


@pytest.mark.parametrize(("schedule", "values"), BY_HAND, ids=lambda v: type(v).__name__)
def test_values(schedule, values: dict[int, float]):
    for step, value in values.items():
        assert schedule(step) == pytest.approx(value, abs=1e-12), step


@pytest.mark.parametrize("schedule", [s for s, _ in BY_HAND], ids=lambda v: type(v).__name__)
def test_the_written_form_is_json_and_gives_it_back(schedule):
    written = json.loads(json.dumps(schedule_to_dict(schedule)))
    assert schedule_from(written) == schedule
    assert SCHEDULES[written["name"]] is type(schedule)


def test_each_has_defaults_that_never_pass_one_but_for_the_ramp():
    for name, kind in SCHEDULES.items():
        assert (described(kind(), 2000).peak <= 1) == (name != "Ramp")


def test_the_slip_is_told_from_what_was_meant():
    meant, slip = (
        described(Smaller(Ramp(100), Constant()), 4000),
        described(Larger(Ramp(100), Constant()), 4000),
    )
    assert (meant.peak, meant.peak_step, meant.still_growing) == (1, 100, False)
    assert (slip.peak, slip.peak_step, slip.still_growing) == (39.99, 3999, True)
    assert str(slip) == "starts at 1, is still growing at the end, where it reaches 40 (step 3999)"
    assert str(meant) == "starts at 0, reaches 1 at step 100, ends at 1 (step 3999)"
    assert str(described(Constant(), 10)) == "1 throughout the 10 steps"


def test_steps_that_train_nothing_are_counted_but_for_the_first():
    assert described(LinearWarmup(10), 50).zeros == 0
    assert described(Cosine(20), 50).zeros == 30


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Cosine(0), "wanted at least 1 step for steps; got 0; set steps in Cosine"),
        (lambda: Cosine(5, final=-1.0), "wanted a number of at least 0 for final; got -1.0"),
        (lambda: WarmupStableDecay(decay=0), "wanted at least 1 step for decay; got 0"),
        (lambda: Then(0), "wanted at least 1 step for steps; got 0; set steps in Then"),
        (lambda: described(lambda step: -1.0, 3), "wanted a multiplier that is a number of at least 0; got -1.0 at step 0"),
        (lambda: described(Constant(), 0), "wanted at least 1 step; got 0"),
        (lambda: schedule_from("LinearWarmap"), "wanted a schedule with a name"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(make, sentence: str):
    with pytest.raises(InputError) as raised:
        make()
    assert str(raised.value).startswith(sentence)


def test_the_picture_has_a_curve_a_schedule_with_the_rates_themselves():
    figure = plot_schedules({"meant": LinearWarmup(2), "slip": Larger(Ramp(2), Constant())}, 5, lr=0.1)
    curves = {trace.name: list(trace.y) for trace in figure.data}
    assert curves["meant"] == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])
    assert curves["slip"] == pytest.approx([0.1, 0.1, 0.1, 0.15, 0.2])
    assert figure.layout.yaxis.title.text == "learning rate"
