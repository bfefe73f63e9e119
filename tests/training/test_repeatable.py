from __future__ import annotations

from pathlib import Path

import torch

from tests.training.small import TASK, new_model, same_bits, short
from unweave.training import train


def test_the_same_seed_gives_the_same_run_to_the_bit():
    first = train(new_model(), TASK, short(seed=3))
    torch.rand(7)
    second = train(new_model(), TASK, short(seed=3))
    assert first.history == second.history
    assert same_bits(first.model, second.model)


def test_another_seed_gives_other_batches():
    first, second = (train(new_model(), TASK, short(seed=seed)) for seed in (3, 4))
    assert not {record.loss for record in first.history} & {record.loss for record in second.history}


def test_every_step_has_a_batch_of_its_own():
    # With a learning rate of zero the loss differs only by the batch.
    run = train(new_model(), TASK, short(schedule=lambda step: 0.0))
    assert len({record.loss for record in run.history}) == 5


def test_a_folder_and_a_progress_bar_change_nothing(tmp_path: Path):
    plain = train(new_model(), TASK, short())
    watched = train(new_model(), TASK, short(checkpoint_every=1), out=tmp_path, progress=True)
    assert plain.history == watched.history


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    train(new_model(), TASK, short())
    assert torch.equal(torch.random.get_rng_state(), before)
