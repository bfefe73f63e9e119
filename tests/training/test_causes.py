"""The rules on witnesses made by hand: each cause from its own sign alone, and silence without one."""

from __future__ import annotations

from typing import Any

import pytest

from unweave.training import TrainConfig
from unweave.training.doctor.causes import diagnosed
from unweave.training.doctor.replay import Change, WatchedStep
from unweave.training.doctor.witness import Curvature, Outlier, Witness, begun, nearest_before
from unweave.training.history import StepRecord
from unweave.training.spikes import Spike, find_spikes

CALM = Outlier(0.10, 0.10, 0.01)
ODD = Outlier(0.90, 0.10, 0.01)
LONG_MEMORY = TrainConfig(betas=(0.9, 0.999))


def step(number: int, rms: float = 1.0) -> WatchedStep:
    return WatchedStep(number, 0.1, 0.9, 1e-2, 0.5, 1.0, {"blocks.0.attn.W_Q": rms, "unembed.W_U": 1.0})


def witness(**signs: Any) -> Witness:
    usual: dict[str, Any] = {
        "spike": Spike(102, 0.9),
        "onset": 100,
        "checkpoint": 75,
        "exact": True,
        "level": 0.1,
        "steps": tuple(step(n) for n in range(75, 103)),
        "curvature": tuple(Curvature(100 - back, 0.4, 0.01, None) for back in (20, 10, 5, 2, 0)),
        "batches": (CALM, CALM),
        "logits": ((0, ((2.0, 3.0),)), (75, ((9.0, 8.0),)), (100, ((9.0, 12.0),))),
    }
    return Witness(**{**usual, **signs})


LATE = tuple(step(n, 3.0 if n == 95 else 1.0) for n in range(75, 103))
CURVED = (Curvature(90, 1.8, 0.02, None), Curvature(100, 0.9, 0.01, None))
SHARP = ((0, ((2.0, 3.0),)), (100, ((9.0, 240.0),)))
SIGNS = {
    "bad-batch": ({"batches": (ODD, ODD)}, Change(without=frozenset({100}))),
    "attention-logits": ({"logits": SHARP}, Change(soft_cap=30.0)),
    "second-moment-lag": ({"steps": LATE}, Change(beta2=0.95)),
    "learning-rate-sharpness": ({"curvature": CURVED}, Change(lr=0.25)),
}


@pytest.mark.parametrize("cause", SIGNS)
def test_each_cause_is_named_from_its_own_sign(cause: str):
    signs, change = SIGNS[cause]
    found = diagnosed(witness(**signs), LONG_MEMORY)
    assert (found.cause, found.confidence) == (cause, "likely")
    (suspicion,) = found.suspicions
    assert suspicion.experiment.change == change and suspicion.strength > 1
    assert suspicion.experiment.said.startswith("go on from step 75 with")
    assert found.to_dict()["evidence"]["checkpoint"] == 75


def test_without_a_sign_no_cause_is_named():
    found = diagnosed(witness(), LONG_MEMORY)
    assert (found.cause, found.confidence, found.suspicions) == ("unknown", "none", ())


def test_a_batch_that_only_the_breaking_model_finds_strange_is_not_the_cause():
    assert diagnosed(witness(batches=(CALM, ODD)), LONG_MEMORY).cause == "unknown"
    assert diagnosed(witness(batches=(ODD, CALM)), LONG_MEMORY).cause == "unknown"


def test_a_memory_of_twenty_steps_does_not_lag():
    assert diagnosed(witness(steps=LATE), TrainConfig(betas=(0.9, 0.95))).cause == "unknown"


def test_an_rms_ratio_during_the_spike_is_its_consequence():
    late = tuple(step(n, 9.0 if n >= 100 else 1.0) for n in range(75, 103))
    assert diagnosed(witness(steps=late), LONG_MEMORY).cause == "unknown"


def test_scores_that_were_large_from_the_first_are_not_growing():
    always = ((0, ((150.0,),)), (100, ((160.0,),)))
    assert diagnosed(witness(logits=always), LONG_MEMORY).cause == "unknown"


def test_several_signs_are_told_apart_only_by_an_experiment():
    found = diagnosed(witness(steps=LATE, curvature=CURVED), LONG_MEMORY)
    assert [s.cause for s in found.suspicions] == ["second-moment-lag", "learning-rate-sharpness"]
    assert found.confidence == "possible"
    assert "W_Q have an RMS ratio of 3" in found.suspicions[0].said
    assert "10 steps before the rise" in found.suspicions[1].said


def test_the_learning_rate_of_the_experiment_is_half_of_what_is_stable_at_most():
    sharper = (Curvature(100, 5.0, 0.1, None),)
    found = diagnosed(witness(curvature=sharper), TrainConfig())
    assert found.suspicions[0].experiment.change == Change(lr=0.1)


def test_what_cannot_be_known_is_said():
    found = diagnosed(witness(exact=False), TrainConfig())
    assert "the replay differs from the history" in found.unknowable[0]
    near = witness(checkpoint=98, curvature=(Curvature(98, 0.5, 0.0, None),))
    assert "the checkpoint lies 2 steps before the rise" in diagnosed(near, TrainConfig()).unknowable[0]


def history(losses: list[float]) -> list[StepRecord]:
    return [StepRecord(n, loss, 0.0, 1e-3, 1.0) for n, loss in enumerate(losses)]


def test_the_rise_begins_where_the_loss_leaves_its_level():
    losses = [0.1] * 60 + [0.2, 0.4, 0.8, 0.5] + [0.1] * 40
    (spike,) = find_spikes(losses)
    assert spike == (62, 0.8)
    assert begun(spike, history(losses)) == (60, pytest.approx(0.1))


def test_a_spike_of_one_step_begins_there():
    losses = [0.1] * 60 + [0.9] + [0.1] * 40
    assert begun(Spike(60, 0.9), history(losses)) == (60, pytest.approx(0.1))


def test_the_checkpoint_leaves_steps_to_see_something_in():
    assert nearest_before([0, 50, 95], 100) == 50
    assert nearest_before([95], 100) == 95
    assert nearest_before([101], 100) is None


def test_the_evidence_is_json_and_on_a_line():
    found = diagnosed(witness(steps=LATE), LONG_MEMORY)
    assert "update RMS ratio 3 (blocks.0.attn.W_Q)" in found.in_short
    assert "scores 12 (at first 3), clipped 0%" in found.in_short
