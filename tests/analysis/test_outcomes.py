"""Scores of a run, and which earlier token was copied."""

from __future__ import annotations

import math

import pytest
import torch

from tests.analysis.models import no_hooks_left, put, random_model, random_tokens, zeroed_model
from unweave.analysis.outcomes import copied_offsets, outcome
from unweave.core.errors import InputError
from unweave.tasks import PreviousToken

TASK = PreviousToken(d_vocab=11, n_ctx=6)
BATCH = TASK.with_targets(torch.tensor([[0, 5, 6, 5, 7, 8], [0, 1, 2, 3, 4, 9]]))
# What is predicted at positions 1 .. 5, and the offset of its nearest occurrence:
#   first sequence:  0 (1)   5 (1)       5 (0, though at 2 too)   5 (1, though at 3 too)   0 (5: BOS)
#   second sequence: 7 (-)   9 (absent: it comes later)   9 (absent)   1 (3)   1 (4)
PREDICTED = torch.tensor([[0, 5, 5, 5, 0], [7, 9, 9, 1, 1]])
LOGITS = torch.nn.functional.one_hot(PREDICTED, 11).float()


def shares(counts: dict[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def test_copied_offsets_by_hand():
    found = copied_offsets(LOGITS, BATCH, TASK.scored, most=3)
    assert found == pytest.approx(shares({"0": 1, "1": 2, "2": 0, "3": 1, ">3": 2, "absent": 2}))


def test_positions_before_first_are_left_out():
    found = copied_offsets(LOGITS, BATCH, TASK.scored, first=3, most=3)
    assert found == pytest.approx(shares({"0": 1, "1": 1, "2": 0, "3": 1, ">3": 2, "absent": 1}))
    everywhere = copied_offsets(LOGITS, BATCH, TASK.scored, first=0, most=3)
    assert everywhere == pytest.approx(shares({"0": 1, "1": 3, "2": 0, "3": 1, ">3": 2, "absent": 3}))


def test_offsets_up_to_most_have_keys_of_their_own():
    found = copied_offsets(LOGITS, BATCH, TASK.scored)
    assert list(found) == [*map(str, range(11)), ">10", "absent"]
    assert (found["4"], found["5"], found[">10"]) == (1 / 8, 1 / 8, 0.0)


def test_logits_at_other_positions_than_the_scored_ones_are_refused():
    with pytest.raises(InputError, match=r"wanted logits of 2 sequences at 5 scored positions; got shape"):
        copied_offsets(torch.zeros(2, 6, 11), BATCH, TASK.scored)
    with pytest.raises(InputError, match=r"first position that is scored; got 6; pass at most 5"):
        copied_offsets(LOGITS, BATCH, TASK.scored, first=6)


def test_outcome_scores_the_previous_token():
    model = random_model()
    batch = TASK.with_targets(random_tokens())
    found = outcome(model, TASK, batch)
    logits = model(batch.tokens)
    assert found.logits.shape == (4, 5, 11)
    for b in range(4):
        for i in range(1, 6):
            wanted = batch.tokens[b, i - 1]
            loss = -(logits[b, i, wanted].exp() / logits[b, i].exp().sum()).log()
            assert found.loss[b, i - 1].item() == pytest.approx(loss.item())
            assert found.hits[b, i - 1] == float(logits[b, i].argmax() == wanted)
    assert not found.logits.requires_grad


def test_outcome_under_hooks_which_are_gone_afterwards():
    # A model that always says 3, without its bias, guesses uniformly.
    model = zeroed_model()
    put(
        model,
        unembed__b_U=torch.arange(11) == 3,
        embed__W_E=torch.ones(11, 8),
        unembed__W_U=torch.eye(8, 11)[[3] * 8],
    )
    batch = TASK.with_targets(torch.tensor([[0, 3, 3, 3, 3, 3]]))
    certain = outcome(model, TASK, batch)
    assert certain.hits[0].tolist() == [0, 1, 1, 1, 1]
    assert certain.loss[0, 1].item() == pytest.approx(math.log1p(10 * math.exp(-9)))
    hushed = outcome(model, TASK, batch, [("blocks.1.hook_resid_post", lambda x, hook: 0 * x)])
    assert hushed.loss[0, 1].item() == pytest.approx(math.log(1 + 10 * math.exp(-1)))
    assert no_hooks_left(model)
