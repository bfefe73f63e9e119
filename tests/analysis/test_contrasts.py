"""The questions asked of logits, on sequences written out, and their means by sequence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.analysis.models import put, random_tokens, zeroed_model
from unweave.analysis.attribution import contrasts, logit_attribution, per_sequence


def weights(contrast: Tensor) -> dict[int, float]:
    return {token: weight for token, weight in enumerate(contrast.tolist()) if weight}


def test_contrasts_by_hand_on_a_sequence_with_repeats():
    tokens = torch.tensor([[0, 4, 5, 4, 6, 7, 7, 8], [0, 1, 2, 3, 4, 5, 6, 7]])
    found, valid = contrasts(tokens, 10)
    # In the first: 4 is repeated at 3 and previous at 4; 7 is repeated at 6 and previous at 7.
    assert valid.int().tolist() == [[0, 0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]]
    at_5 = {name: weights(contrast[0, 5]) for name, contrast in found.items()}
    absent = {1: -0.2, 2: -0.2, 3: -0.2, 8: -0.2, 9: -0.2}  # 8 comes only later; 0 is no token of the task
    assert at_5["previous - current"] == {6: 1.0, 7: -1.0}
    assert at_5["previous - other context"] == {6: 1.0, 4: -0.5, 5: -0.5}
    assert at_5["other context - absent"] == pytest.approx({4: 0.5, 5: 0.5, **absent})
    assert at_5["current - other context"] == {7: 1.0, 4: -0.5, 5: -0.5}
    assert at_5["current - absent"] == pytest.approx({7: 1.0, **absent})
    # The first position that is asked about has one other token, the first after BOS.
    assert weights(found["previous - other context"][1, 3]) == {2: 1.0, 1: -1.0}
    assert weights(found["previous - current"][1, 3]) == {2: 1.0, 3: -1.0}


def test_contrasts_sum_to_zero_and_leave_bos_out():
    tokens = random_tokens(batch=20, length=12, vocab=30)
    found, valid = contrasts(tokens, 30)
    assert 0 < valid.sum() < 20 * 9
    for contrast in found.values():
        assert contrast[valid].sum(-1).abs().max() < 1e-6
        assert (contrast[..., 0] == 0).all()


def test_the_mask_begins_at_first_and_never_before_3():
    tokens = torch.arange(8)[None]
    for first, begin in ((0, 3), (3, 3), (5, 5)):
        assert contrasts(tokens, 10, first)[1][0].tolist() == [i >= begin for i in range(8)]


def test_per_sequence_by_hand():
    values = torch.tensor([[1.0, 2.0, 6.0], [math.nan, 5.0, math.inf], [7.0, 7.0, 7.0]])
    valid = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    assert per_sequence(values, valid).tolist() == [3.5, 5.0]


def test_a_copy_of_the_previous_token_is_credited_to_what_copies_it():
    """Layer 0 sees BOS and itself alike; W_O writes tokens over to the unembedding's other half."""
    model = zeroed_model(n_layers=1, attn_only=True, d_model=22, d_head=11, n_heads=1)
    eye = torch.eye(11)
    put(model, embed__W_E=torch.cat([eye, 0 * eye], 1), unembed__W_U=torch.cat([0 * eye, eye]))
    put(
        model,
        blocks__0__attn__W_V=torch.cat([eye, 0 * eye])[None],
        blocks__0__attn__W_O=torch.cat([0 * eye, eye], 1)[None],
    )
    tokens = torch.tensor([[0, 1, 2, 3, 4, 5]])
    _, cache = model.run_with_cache(tokens)
    found, valid = contrasts(tokens, 11)
    rows = {name: logit_attribution(model, cache, contrast) for name, contrast in found.items()}
    # Equal attention to the i + 1 tokens so far: each has logit 1/(i + 1), averaged over i = 3, 4, 5.
    share = (1 / 4 + 1 / 5 + 1 / 6) / 3
    for name, wanted in (
        ("previous - current", 0.0),
        ("previous - other context", 0.0),
        ("other context - absent", share),
        ("current - absent", share),
        ("current - other context", 0.0),
    ):
        assert per_sequence(rows[name]["attn0"], valid).item() == pytest.approx(wanted, abs=1e-7)
        assert per_sequence(rows[name]["embed"], valid).item() == 0.0
