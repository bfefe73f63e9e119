"""What holds of every task: seeds, sizes, written form, and targets that a person can check."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from unweave.core.errors import InputError
from unweave.tasks import IGNORED, Task, names, task_from
from unweave.tasks.catalogue import TASKS

every = pytest.mark.parametrize("name", names())


def made(name: str) -> Task:
    return TASKS[name]()


@every
def test_a_seed_gives_one_batch_and_another_seed_another(name: str):
    before = torch.random.get_rng_state()
    one, again, other = (made(name).batch(16, seed) for seed in (3, 3, 4))
    assert torch.equal(one.tokens, again.tokens) and torch.equal(one.targets, again.targets)
    assert not torch.equal(one.tokens, other.tokens)
    assert torch.equal(torch.random.get_rng_state(), before)


@every
def test_tokens_and_targets_are_within_the_sizes_that_it_names(name: str):
    task = made(name)
    tokens, targets = task.batch(200, 0)
    assert tokens.shape == (200, task.n_ctx)
    assert targets.shape == (200, len(range(task.n_ctx)[task.scored]))
    assert tokens.min() >= 0 and tokens.max() < task.d_vocab
    asked = targets[targets != IGNORED]
    assert asked.min() >= 0 and asked.max() < task.d_vocab_out
    assert (targets != IGNORED).any(1).all(), "each sequence asks for something"


@every
def test_held_out_sequences_are_others(name: str):
    task = made(name)
    seen = {tuple(row) for row in task.batch(300, 0).tokens.tolist()}
    held = {tuple(row) for row in task.held_out(300, 0).tokens.tolist()}
    # Sentences of the toy and balanced strings are few: there held-out ones are another draw, no other kind.
    few = name in ("indirect-object", "brackets")
    assert len(held - seen) > (0.7 if few else 0.95) * len(held)


@every
def test_the_answer_itself_has_no_loss_and_a_uniform_guess_the_loss_of_chance(name: str):
    task = made(name)
    batch = task.batch(8, 0)
    right = torch.nn.functional.one_hot(batch.targets.clamp_min(0), task.d_vocab_out).double() * 100
    assert task.loss(right, batch) < 1e-6
    assert task.accuracy(right, batch) == 1
    even = torch.zeros_like(right)
    torch.testing.assert_close(task.loss(even, batch).item(), task.chance_loss)


@every
def test_its_written_form_is_json_and_gives_it_back(name: str):
    written = json.loads(json.dumps(made(name).to_dict()))
    assert written["name"] == name == made(name).name
    assert task_from(written) == made(name)
    assert dataclasses.is_dataclass(made(name))
    assert made(name).example()


def test_unknown_names_and_fields_are_refused_with_the_nearest():
    with pytest.raises(
        InputError, match=r"^wanted the name of a task, .*; got 'inductoin'; nearest: induction"
    ):
        task_from({"name": "inductoin"})
    with pytest.raises(
        InputError, match=r"^wanted a field of k-back: k, d_vocab, n_ctx; got 'kk'; nearest: k"
    ):
        task_from({"name": "k-back", "kk": 3})


def test_ignored_targets_count_in_neither_loss_nor_accuracy():
    task = made("induction")
    batch = task.batch(4, 0)
    logits = torch.randn(4, task.n_ctx, task.d_vocab, generator=torch.Generator().manual_seed(0))
    each, hits = task.loss(logits, batch, per_token=True), task.accuracy(logits, batch, per_token=True)
    asked = batch.targets != IGNORED
    torch.testing.assert_close(task.loss(logits, batch), each[asked].mean())
    assert (each[~asked] == 0).all() and hits[~asked].isnan().all()
    # The mistake: a mean over all positions, most of which ask for nothing.
    assert not torch.isclose(task.loss(logits, batch), each.mean())
