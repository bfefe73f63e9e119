from __future__ import annotations

import pytest

from tests.core.unchecked import as_users_run
from tests.training.small import TASK, new_model, short
from unweave.core.errors import InputError
from unweave.training import Constant, LinearWarmup, train


@pytest.mark.parametrize(
    ("step", "value"), [(0, 0.0), (1, 0.01), (50, 0.5), (99, 0.99), (100, 1.0), (10_000, 1.0)]
)
def test_the_warmup_is_a_minimum_not_a_maximum(step: int, value: float):
    assert LinearWarmup()(step) == value


def test_another_length_of_warmup():
    assert [LinearWarmup(4)(step) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]


def test_constant():
    assert [Constant()(step) for step in (0, 7, 10_000)] == [1, 1, 1]


def test_the_learning_rate_follows_any_function_of_the_step():
    run = train(new_model(), TASK, short(lr=0.5, schedule=lambda step: 1 / (step + 1)))
    assert [record.lr for record in run.history] == pytest.approx([1 / 2, 1 / 4, 1 / 6, 1 / 8, 1 / 10])


@pytest.mark.parametrize("steps", [0, -3, 1.5])
def test_an_impossible_warmup_is_refused(steps: object):
    with as_users_run(), pytest.raises(InputError) as raised:
        LinearWarmup(steps)
    assert (
        str(raised.value)
        == f"wanted at least 1 step for steps; got {steps}; set steps in LinearWarmup, or use Constant() for no schedule"
    )
