"""Losses, masks, and runs that begin or end at a layer."""

from __future__ import annotations

import math

import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError

LEFT = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1]])


def test_the_loss_is_that_of_the_next_token_by_hand():
    model, tokens = small_model(dtype="float64"), small_tokens()
    logits = model(tokens)
    wanted = torch.zeros(3, 6, dtype=torch.float64)
    for b in range(3):
        for i in range(6):
            odds = logits[b, i].exp()
            wanted[b, i] = -math.log((odds[tokens[b, i + 1]] / odds.sum()).item())
    assert_equal_to(1e-12, model(tokens, return_type="loss", loss_per_token=True), wanted)
    assert_equal_to(1e-12, model(tokens, return_type="loss"), wanted.mean())
    both = model(tokens, return_type="both")
    assert torch.equal(both.logits, logits)
    assert torch.equal(both.loss, model(tokens, return_type="loss"))


@pytest.mark.parametrize("flip", [False, True], ids=["left", "right"])
def test_padding_is_not_in_the_loss(flip: bool):
    mask = LEFT.flip(1) if flip else LEFT
    model, tokens = small_model(positional_embedding_type="standard", dtype="float64"), small_tokens()
    alone = [tokens[b, mask[b].bool()] for b in range(3)]
    by_token = [model(row, return_type="loss", loss_per_token=True)[0] for row in alone]
    got = model(tokens, return_type="loss", loss_per_token=True, attention_mask=mask)
    assert_equal_to(1e-10, model(tokens, return_type="loss", attention_mask=mask), torch.cat(by_token).mean())
    for b in range(3):
        assert_equal_to(1e-10, got[b][(mask[b, 1:] * mask[b, :-1]).bool()], by_token[b])
    assert (got[(mask[:, 1:] * mask[:, :-1]) == 0] == 0).all()


@pytest.mark.parametrize("flip", [False, True], ids=["left", "right"])
@pytest.mark.parametrize("feature", [*FEATURES, "standard", "sinusoidal"])
def test_a_padded_sequence_gives_the_logits_that_it_gives_alone(feature: str, flip: bool):
    mask = LEFT.flip(1) if flip else LEFT
    fields = FEATURES.get(feature, {"positional_embedding_type": feature})
    model, tokens = small_model(**fields, dtype="float64"), small_tokens()
    logits = model(tokens, attention_mask=mask)
    for b in range(3):
        real = mask[b].bool()
        assert_equal_to(1e-10, logits[b, real], model(tokens[b, real])[0])


def test_gradients_are_finite_where_a_query_sees_nothing():
    for names in ([], ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"]):
        model, tokens = small_model(), small_tokens()
        with model.recording(names or "hook_embed"):
            model(tokens, return_type="loss", attention_mask=LEFT).backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_the_gradient_at_the_scores_is_finite_there_too():
    model, tokens = small_model(), small_tokens()
    with model.recording("blocks.0.attn.hook_attn_scores", detach=False) as kept:
        loss = model(tokens, return_type="loss", attention_mask=LEFT)
    gradient = torch.autograd.grad(loss, kept["blocks.0.attn.hook_attn_scores"])[0]
    assert gradient.isfinite().all()
    assert gradient.any()
    assert not gradient[1, :, :2].any(), "queries that see nothing"


def test_a_mask_of_ones_changes_nothing(fused_calls: list[int]):
    model, tokens = small_model(), small_tokens()
    assert torch.equal(model(tokens, attention_mask=torch.ones_like(tokens)), model(tokens))
    assert torch.equal(model(tokens, attention_mask=torch.ones_like(tokens).bool()), model(tokens))
    assert len(fused_calls) == 8


@pytest.mark.parametrize("mask", [None, LEFT])
@pytest.mark.parametrize("start", [0, 1, 2, -1])
@pytest.mark.parametrize("feature", FEATURES)
def test_stop_and_start_compose(feature: str, start: int, mask: torch.Tensor | None):
    model, tokens = small_model(**FEATURES[feature]), small_tokens()
    resid = model(tokens, stop_at_layer=start, attention_mask=mask)
    got = model(resid, start_at_layer=start, attention_mask=mask)
    assert torch.equal(got, model(tokens, attention_mask=mask))


def test_the_loss_of_a_run_from_a_layer_needs_tokens():
    model, tokens = small_model(), small_tokens()
    resid = model(tokens, stop_at_layer=1)
    got = model(resid, return_type="loss", start_at_layer=1, tokens=tokens)
    assert torch.equal(got, model(tokens, return_type="loss"))
    with pytest.raises(
        InputError, match=r"^wanted tokens, for the loss of a run from start_at_layer; got none"
    ):
        model(resid, return_type="loss", start_at_layer=1)


def test_shortformers_positions_can_be_given():
    model, tokens = small_model(positional_embedding_type="shortformer"), small_tokens()
    resid, checked, pos_embed, mask = model.input_to_embed(tokens)
    assert torch.equal(checked, tokens)
    assert mask is None
    assert_equal_to(0, pos_embed, model.W_pos.expand(3, 7, 8))
    usual = model(resid, start_at_layer=0)
    assert torch.equal(usual, model(resid, start_at_layer=0, shortformer_pos_embed=pos_embed))
    other = model(resid, start_at_layer=0, shortformer_pos_embed=pos_embed * 2)
    assert not torch.allclose(usual, other)
    with pytest.raises(InputError, match=r"^wanted no shortformer_pos_embed, since positions are not"):
        small_model()(resid, start_at_layer=0, shortformer_pos_embed=pos_embed)


TOKENS = small_tokens()
REFUSED = [
    (
        {"return_type": "loss", "unembed_at": slice(1, None)},
        "wanted every position's logits for the loss; got",
    ),
    (
        {"start_at_layer": 1},
        "wanted a residual stream [batch, pos, 8] of torch.float32 with start_at_layer; got",
    ),
    ({"start_at_layer": 3}, "wanted start_at_layer between -2 and 2; got 3; leave it out to run every layer"),
    ({"start_at_layer": 2, "stop_at_layer": 1}, "wanted stop_at_layer at or after start_at_layer=2; got 1;"),
    (
        {"attention_mask": LEFT[:, 1:]},
        "wanted attention_mask of shape (3, 7), as the input; got shape (3, 6);",
    ),
    ({"attention_mask": LEFT * 2}, "wanted 0 or 1 in attention_mask; got other values; 1 is a token, 0 is"),
    ({"attention_mask": LEFT - 0.5}, "wanted 0 or 1 in attention_mask; got other values; 1 is a token, 0 is"),
    (
        {"attention_mask": [1]},
        "wanted attention_mask of shape (3, 7), as the input; got list; give one number",
    ),
    ({"token_type_ids": TOKENS}, "wanted no token_type_ids, since n_token_types is 0; got some; set"),
    (
        {"return_type": "loss", "attention_mask": torch.eye(7)[[0, 3, 5]]},
        "wanted two attended tokens next to each other, to predict one from the other; got none; check",
    ),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED)
def test_what_cannot_be_honoured_is_refused(given: dict, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        small_model()(TOKENS, **given)
    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize(
    ("types", "sentence"),
    [
        (TOKENS[:, 1:], "wanted token_type_ids of shape (3, 7), as the tokens; got shape (3, 6);"),
        (TOKENS, "wanted tokens from 0 to 1; got values from 0 to 10;"),
    ],
)
def test_token_types_that_cannot_be_read_are_refused(types: torch.Tensor, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        small_model(n_token_types=2)(TOKENS, token_type_ids=types)
    assert str(raised.value).startswith(sentence)


def test_a_loss_that_cannot_be_computed_is_refused():
    with pytest.raises(InputError, match=r"^wanted at least 2 positions for the loss; got 1; pass longer"):
        small_model()(TOKENS[:, :1], return_type="loss")
    with pytest.raises(
        InputError, match=r"^wanted tokens below d_vocab_out=5 for the loss of the next token; got a"
    ):
        small_model(d_vocab_out=5)(TOKENS, return_type="loss")
