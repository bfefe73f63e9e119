from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.small import TASK, new_model, same_bits, short
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.training import Constant, TrainingDiverged, train
from unweave.training.checkpoints import list_checkpoints
from unweave.training.history import read_history


def test_a_loss_that_is_no_number_ends_the_run_after_a_checkpoint_from_before(tmp_path: Path):
    # The second update throws the weights out of float32's range.
    config = short(schedule=lambda step: 1e37 if step == 1 else 1.0, checkpoint_every=1, lr=1.0)
    with pytest.raises(TrainingDiverged, match=r"^the (loss|gradient's norm) became (nan|inf): lower the"):
        train(new_model(), TASK, config, out=tmp_path)
    steps = len(list_checkpoints(tmp_path / "checkpoints"))
    assert len(read_history(tmp_path / "history.jsonl")) == steps
    assert 1 <= steps < 5
    assert not (tmp_path / "model").exists()
    first = train(new_model(), TASK, short(steps=1, lr=1.0, schedule=Constant())).model
    assert same_bits(load(list_checkpoints(tmp_path / "checkpoints")[0]), first)


def broken(w_e: float, w_u: float) -> HookedTransformer:
    """No layer and no norm: the logits are a product of two tables."""
    model = new_model(n_layers=0, normalization_type=None)
    with torch.no_grad():
        model.W_E.mul_(w_e)
        model.W_U.mul_(w_u)
    return model


@pytest.mark.parametrize(
    ("w_e", "w_u", "sentence"),
    [
        (1.0, float("nan"), "the loss became nan: lower the learning rate, or clip gradients"),
        # A modest loss, but the gradient of W_E, about 1e28, has a square beyond float32.
        (1e-30, 1e30, "the gradient's norm became inf: lower the learning rate, or clip gradients"),
    ],
)
def test_no_update_is_made_of_what_is_not_finite(tmp_path: Path, w_e: float, w_u: float, sentence: str):
    model, before = broken(w_e, w_u), broken(w_e, w_u)
    with pytest.raises(TrainingDiverged) as raised:
        train(model, TASK, short(schedule=Constant()), out=tmp_path)
    assert str(raised.value) == sentence
    assert torch.equal(model.W_E, before.W_E)
    assert torch.equal(model.b_U, before.b_U)
    assert read_history(tmp_path / "history.jsonl") == []
    assert not (tmp_path / "checkpoints").exists()


def test_a_held_out_loss_that_is_no_number_ends_the_run(tmp_path: Path):
    """The last update breaks the weights: no batch after it would show it, and JSON has no NaN."""
    config = short(steps=1, lr=1e20, schedule=Constant(), evaluate_every=1, evaluate_size=8)
    with pytest.raises(TrainingDiverged, match=r"^the held-out loss became"):
        train(new_model(), TASK, config, out=tmp_path)
    assert len(read_history(tmp_path / "history.jsonl")) == 1
