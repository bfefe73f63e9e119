from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.core.unchecked import as_users_run
from unweave.core.errors import InputError
from unweave.tasks import Batch, PreviousToken

TASK = PreviousToken(d_vocab=4, n_ctx=4)
BATCH = Batch(torch.tensor([[0, 3, 1, 2], [0, 2, 2, 1]]), torch.tensor([[0, 3, 1], [0, 2, 2]]))


def logits_of(probabilities: list[list[list[float]]]) -> torch.Tensor:
    """Logits with a constant added to each row, which a softmax must not feel."""
    logits = torch.tensor(probabilities, dtype=torch.float64).log()
    return logits + torch.arange(logits.shape[1])[None, :, None]


# Rows for positions 0 to 3 of both sequences; position 0 is not scored, and is wrong on purpose.
HALF, EIGHTH, ANY = [0.5, 0.25, 0.125, 0.125], [0.125, 0.125, 0.25, 0.5], [0.25] * 4
LOGITS = logits_of([[EIGHTH, HALF, EIGHTH, HALF], [EIGHTH, ANY, HALF, EIGHTH]])
# The targets' probabilities: 0 -> 1/2, 3 -> 1/2, 1 -> 1/4; 0 -> 1/4, 2 -> 1/8, 2 -> 1/4.
BITS = [[1, 1, 2], [2, 3, 2]]


def test_the_target_is_the_token_before():
    batch = TASK.with_targets(BATCH.tokens)
    assert batch.tokens.tolist() == [[0, 3, 1, 2], [0, 2, 2, 1]]
    assert batch.targets.tolist() == [[0, 3, 1], [0, 2, 2]]
    assert TASK.scored == slice(1, None)


def test_targets_do_not_follow_tokens_that_are_edited_later():
    batch = TASK.with_targets(BATCH.tokens.clone())
    batch.tokens[:, 0] = 3
    assert batch.targets[:, 0].tolist() == [0, 0]


def test_sequences_start_with_bos_and_go_on_uniformly_without_it():
    tokens, targets = PreviousToken(d_vocab=5, n_ctx=9).batch(1000, seed=0)
    assert tokens.shape == (1000, 9)
    assert targets.shape == (1000, 8)
    assert (tokens[:, 0] == 0).all()
    counts = tokens[:, 1:].flatten().bincount(minlength=5)
    assert counts[0] == 0
    # 8000 draws, 2000 expected of each of 4: four standard errors are 4 * sqrt(8000 * 3/16).
    assert (counts[1:] - 2000).abs().max() < 4 * math.sqrt(1500)


def test_the_loss_of_each_token_and_its_mean():
    wanted = torch.tensor(BITS, dtype=torch.float64) * math.log(2)
    torch.testing.assert_close(TASK.loss(LOGITS, BATCH, per_token=True), wanted)
    torch.testing.assert_close(TASK.loss(LOGITS, BATCH), wanted.mean())


def test_the_accuracy():
    # HALF's largest is token 0, EIGHTH's token 3; ANY is a tie, broken by the first, token 0.
    wanted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert torch.equal(TASK.accuracy(LOGITS, BATCH, per_token=True), wanted)
    assert TASK.accuracy(LOGITS, BATCH).item() == 0.5


def test_logits_at_the_scored_positions_alone_will_do():
    at_scored = LOGITS[:, TASK.scored]
    for score in (TASK.loss, TASK.accuracy):
        for per_token in (False, True):
            assert torch.equal(score(at_scored, BATCH, per_token), score(LOGITS, BATCH, per_token))


@pytest.mark.parametrize("shape", [(2, 2, 4), (2, 4, 5), (1, 4, 4), (2, 5, 4), (4, 2, 4)])
def test_logits_of_another_shape_are_refused(shape: tuple[int, int, int]):
    for score in (TASK.loss, TASK.accuracy):
        with pytest.raises(InputError) as raised:
            score(torch.zeros(shape), BATCH)
        assert str(raised.value) == (
            f"wanted logits of shape (2, 4, 4); got {shape}; pass the logits of this batch's tokens"
        )


def test_the_chance_loss_is_that_of_a_uniform_guess():
    task = PreviousToken(d_vocab=300, n_ctx=50)
    assert task.chance_loss == pytest.approx(5.703782474656201)  # ln 300
    batch = task.batch(2, seed=0)
    assert task.loss(torch.zeros(2, 50, 300), batch).item() == pytest.approx(task.chance_loss)


def test_the_same_seed_gives_the_same_batch_and_another_another():
    task = PreviousToken()
    assert torch.equal(task.batch(4, 7).tokens, task.batch(4, 7).tokens)
    assert not torch.equal(task.batch(4, 7).tokens, task.batch(4, 8).tokens)


def test_the_stream_and_the_global_random_state_do_not_touch():
    before = torch.random.get_rng_state()
    first = PreviousToken().batch(4, 7).tokens
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(PreviousToken().batch(4, 7).tokens, first)


def test_torchs_default_device_does_not_matter():
    with torch.device("meta"):
        elsewhere = PreviousToken().batch(4, 7).tokens
    assert torch.equal(elsewhere, PreviousToken().batch(4, 7).tokens)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"d_vocab": 1},
            "wanted a whole number of at least 2 for d_vocab; got 1; set d_vocab in PreviousToken",
        ),
        ({"n_ctx": 1}, "wanted a whole number of at least 2 for n_ctx; got 1; set n_ctx in PreviousToken"),
        (
            {"n_ctx": 5.0},
            "wanted a whole number of at least 2 for n_ctx; got 5.0; set n_ctx in PreviousToken",
        ),
    ],
)
def test_an_impossible_task_is_refused(fields: dict, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        PreviousToken(**fields)
    assert str(raised.value) == sentence


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_an_impossible_batch_size_is_refused(size: object):
    with as_users_run(), pytest.raises(InputError) as raised:
        TASK.batch(size, seed=0)
    assert (
        str(raised.value) == f"wanted a whole number of at least 1 for batch_size; got {size}; ask for more"
    )


def test_tokens_of_another_vocabulary_are_refused():
    with pytest.raises(InputError, match=r"^wanted tokens from 0 to 3; got values from 0 to 4; check"):
        TASK.with_targets(torch.tensor([[0, 4]]))


def test_a_task_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASK.n_ctx = 3
