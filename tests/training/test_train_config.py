from __future__ import annotations

import dataclasses
import json
import math

import pytest

from tests.core.unchecked import as_users_run
from tests.training.small import TASK, new_model, short
from unweave.core.errors import InputError
from unweave.tasks import PreviousToken
from unweave.training import Constant, LinearWarmup, TrainConfig, train

DEFAULTS = {
    "steps": 1000,
    "batch_size": 256,
    "lr": 1e-3,
    "betas": [0.9, 0.95],
    "eps": 1e-8,
    "weight_decay": 0.1,
    "max_grad_norm": 1.0,
    "schedule": {"name": "LinearWarmup", "steps": 100},
    "seed": 0,
    "precision": "fp32",
    "accumulate": 1,
    "checkpoint_every": 500,
    "checkpoint_at": [],
    "checkpoint_per_decade": 0,
    "evaluate_every": None,
    "evaluate_size": 256,
}


@dataclasses.dataclass(frozen=True)
class Decay:
    rate: float

    def __call__(self, step: int) -> float:
        return self.rate**step


def halve(step: int) -> float:
    return 0.5**step


def test_a_config_is_json_with_its_numbers_to_read():
    assert TrainConfig().to_dict() == DEFAULTS
    assert json.loads(json.dumps(TrainConfig().to_dict())) == DEFAULTS


@pytest.mark.parametrize(
    ("schedule", "written"),
    [
        (Constant(), {"name": "Constant", "value": 1.0}),
        (LinearWarmup(7), {"name": "LinearWarmup", "steps": 7}),
        (Decay(0.5), {"name": "Decay", "rate": 0.5}),
        (halve, {"name": "halve"}),
        (lambda step: 1.0, {"name": "<lambda>"}),
    ],
)
def test_any_schedule_is_written_by_its_name_and_numbers(schedule: object, written: dict):
    config = TrainConfig(schedule=schedule)
    assert json.loads(json.dumps(config.to_dict()))["schedule"] == written


def test_betas_may_come_as_a_list_and_no_clipping_is_a_choice():
    # A list is what JSON gives back.
    with as_users_run():
        config = TrainConfig(betas=[0.5, 0.75], max_grad_norm=None)
    assert config.betas == (0.5, 0.75)
    assert config.to_dict()["max_grad_norm"] is None


def test_a_config_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 1.0


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("steps", 0, "a whole number of at least 1"),
        ("steps", 1.5, "a whole number of at least 1"),
        ("steps", True, "a whole number of at least 1"),
        ("batch_size", -1, "a whole number of at least 1"),
        ("checkpoint_every", 0, "a whole number of at least 1, or None"),
        ("checkpoint_at", (3, -1), "whole numbers of at least 0"),
        ("checkpoint_per_decade", -1, "a whole number of at least 0"),
        ("evaluate_every", 0, "a whole number of at least 1, or None"),
        ("evaluate_size", 0, "a whole number of at least 1"),
        ("accumulate", 257, "a whole number from 1 to batch_size"),
        ("eps", 0.0, "a number above 0"),
        ("lr", 0.0, "a number above 0"),
        ("lr", math.nan, "a number above 0"),
        ("lr", "1e-3", "a number above 0"),
        ("betas", (0.9, 1.0), "two numbers in [0, 1)"),
        ("betas", (0.9,), "two numbers in [0, 1)"),
        ("betas", 0.9, "two numbers in [0, 1)"),
        ("betas", ("a", "b"), "two numbers in [0, 1)"),
        ("weight_decay", -0.1, "a number of at least 0"),
        ("max_grad_norm", 0.0, "a number above 0, or None"),
        ("max_grad_norm", math.inf, "a number above 0, or None"),
        ("schedule", 0.5, "a function of the step"),
        ("seed", 0.5, "a whole number"),
        ("precision", "fp16", "'fp32' or 'bf16'"),
    ],
)
def test_an_impossible_value_is_refused(field: str, value: object, wanted: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        TrainConfig(**{field: value})
    assert str(raised.value) == f"wanted {wanted} for {field}; got {value!r}; set {field} in TrainConfig"


@pytest.mark.parametrize(
    ("sizes", "got"),
    [
        ({"d_vocab": 13}, "d_vocab 13, d_vocab_out 13, n_ctx 6"),
        ({"d_vocab_out": 5}, "d_vocab 12, d_vocab_out 5, n_ctx 6"),
        ({"n_ctx": 5}, "d_vocab 12, d_vocab_out 12, n_ctx 5"),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_refused(sizes: dict, got: str):
    with pytest.raises(InputError) as raised:
        train(new_model(**sizes), TASK, short())
    assert str(raised.value) == (
        f"wanted a model with d_vocab = d_vocab_out = 12 and n_ctx >= 6; got {got}; "
        "build model and task with the same sizes"
    )


def test_a_model_that_could_read_longer_sequences_will_do():
    assert len(train(new_model(n_ctx=9), PreviousToken(12, 6), short(steps=1)).history) == 1
