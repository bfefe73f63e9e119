"""A replay is the run itself, to the bit; what it watches is what Adam divides by; what it changes, it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.training.small import TASK, new_model, same_bits, short
from unweave.training import TrainConfig, train
from unweave.training.doctor.replay import RECENT, Change, Replay


@pytest.fixture
def run(tmp_path: Path):
    config = short(steps=30, checkpoint_every=10, checkpoint_at=(0,), max_grad_norm=0.5, betas=(0.9, 0.999))
    return train(new_model(), TASK, config, tmp_path), config


def opened(run, step: int, change: Change | None = None) -> Replay:
    trained, config = run
    return Replay(trained.out / f"checkpoints/step-{step:08d}", TASK, config, change)


def test_without_a_change_it_is_the_run_to_the_bit(run):
    trained, _ = run
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    replay = opened(run, 10)
    replay.to(20)
    replay.to(30)
    assert same_bits(replay.model, trained.model)
    assert [(s.step, s.loss, s.grad_norm, s.lr) for s in replay.steps] == [
        (s.step, s.loss, s.grad_norm, s.lr) for s in trained.history[10:]
    ]
    assert replay.agrees_with(trained.history)
    assert opened(run, 10, Change(lr=0.5)).to(12)[1].loss != trained.history[11].loss
    assert torch.equal(torch.random.get_rng_state(), state) and torch.get_num_threads() == threads


def test_another_number_of_threads_in_the_session_changes_nothing(run):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        replay = opened(run, 10)
        replay.to(15)
        assert replay.agrees_with(run[0].history)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_the_rms_ratio_is_of_the_clipped_gradient_over_the_v_that_the_update_divides_by(run):
    replay = opened(run, 20)
    parameter = replay.model.blocks[0].mlp.W_in
    before = replay.optimizer.state[parameter]["exp_avg_sq"].clone()
    (step,) = replay.to(21)
    g2, beta2 = parameter.grad.double() ** 2, 0.999
    after = replay.optimizer.state[parameter]["exp_avg_sq"].double()
    ratio = (g2 / (after / (1 - beta2**21))).mean().sqrt().item()
    assert step.rms["blocks.0.mlp.W_in"] == pytest.approx(ratio, rel=1e-5)
    stale = (g2 / (before.double() / (1 - beta2**20))).mean().sqrt().item()
    assert abs(stale / ratio - 1) > 1e-3  # v as it was before the gradient came in
    assert step.clip == pytest.approx(min(1.0, 0.5 / step.grad_norm))


def test_recent_moments_remember_about_twenty_steps(run):
    replay = opened(run, 0)
    gradients = []
    replay.to(8, lambda: gradients.append(replay.model.W_U.grad.double() ** 2))
    index = [name for name, _ in replay.model.named_parameters()].index("unembed.W_U")
    expected = torch.zeros_like(gradients[0])
    for squared in gradients:
        expected = RECENT * expected + (1 - RECENT) * squared
    torch.testing.assert_close(replay.recent_moments()[index], expected / (1 - RECENT**8))


def test_another_beta2_goes_on_from_what_adam_divides_by_now(run):
    index, done = 0, 10
    own, other = (opened(run, done, change).second_moments()[index] for change in (None, Change(beta2=0.9)))
    corrected, changed = own / (1 - 0.999**done), other / (1 - 0.9**done)
    torch.testing.assert_close(changed, corrected)
    # Left as it was, v over its new correction would be 65 times too small, and steps 8 times too large.
    assert (own / (1 - 0.9**done)).sum() < corrected.sum() / 50


def test_a_batch_can_be_left_out_and_attention_capped(run):
    steps = opened(run, 10, Change(without=frozenset({12}))).to(15)
    assert [step.step for step in steps] == [10, 11, 13, 14]
    capped = opened(run, 10, Change(soft_cap=0.01))
    assert capped.model.cfg.attn_scores_soft_cap == 0.01
    assert capped.to(11)[0].loss != run[0].history[10].loss
    unclipped = opened(run, 10, Change(max_grad_norm=float("inf")))
    assert unclipped.config.max_grad_norm is None and unclipped.to(11)[0].clip == 1.0


def test_a_replay_writes_nothing(run):
    out: Path = run[0].out
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    opened(run, 10, Change(lr=2.0)).to(30)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert TrainConfig.from_dict(json.loads((out / "run.json").read_text())["training"]) == run[1]


def test_a_replay_that_diverges_says_so_and_stops(run):
    steps = opened(run, 10, Change(lr=1e30)).to(30)
    assert steps[-1].loss == float("inf") and len(steps) < 20
