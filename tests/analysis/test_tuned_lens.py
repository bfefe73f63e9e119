"""The tuned lens where the best translator is known: on a model whose one layer is an affine map of its input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import lens
from unweave.core.errors import InputError

N = 12


def affine_model() -> Any:
    """On one token attention is 1: the layer adds `x @ OV + b`. Its final stream is a permuted, shifted input."""
    model = small_model(
        n_layers=1, n_heads=1, d_model=6, d_head=6, d_vocab=N, n_ctx=1, dtype="float64", attn_only=True,
        normalization_type=None,
    )  # fmt: skip
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        turn = torch.eye(6, dtype=torch.float64).roll(1, 0) * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
        model.embed.W_E.copy_(torch.randn(N, 6, generator=draw))
        model.unembed.W_U.copy_(torch.randn(6, N, generator=draw))
        model.blocks[0].attn.W_V[0].copy_(turn - torch.eye(6))
        model.blocks[0].attn.W_O[0].copy_(torch.eye(6))
        model.blocks[0].attn.b_O.copy_(torch.randn(6, generator=draw))
    return model


TOKENS = torch.arange(N)[:, None].repeat(1, 1)


def test_it_finds_the_map_that_the_layer_is():
    model = affine_model()
    made = lens.tuned_lens(model, TOKENS, steps=150, batch_size=12, lr=0.1, held_out=0.1)
    plain, tuned = made.result.values[0].tolist()
    assert plain > 0.3
    assert tuned < 0.05 * plain
    cache = model.run_with_cache(TOKENS)[1]
    logits, stages = made.logits(model, cache)
    assert stages == ["0_pre", "final_post"]
    assert_equal_to(1e-12, logits[1], model(TOKENS))
    assert_equal_to(0.2, logits[0].softmax(-1), model(TOKENS).softmax(-1))
    # A lens of biases alone, the plausible shortcut, can't undo a permutation.
    best = model.run_with_cache(TOKENS)[1]["blocks.0.hook_attn_out"].mean((0, 1))
    said = model.unembed(cache["blocks.0.hook_resid_pre"] + best).log_softmax(-1)
    final = model(TOKENS).log_softmax(-1)
    assert (final.exp() * (final - said)).sum(-1).mean() > 0.1


def test_it_is_trained_towards_the_model_and_not_towards_the_next_token():
    """All next tokens are 3; the model says otherwise, and so must the lens."""
    model = small_model(n_layers=1, dtype="float64", n_ctx=7)
    tokens = torch.cat([small_tokens(40, 1), torch.full((40, 4), 3)], 1)
    made = lens.tuned_lens(model, tokens, steps=50, batch_size=16, lr=0.05)
    logits = made.logits(model, model.run_with_cache(tokens)[1])[0]
    assert made.result.sel(lens="tuned").values.item() < 0.3 * made.result.sel(lens="logit").values.item()
    said, true = (logits[at].softmax(-1)[..., 3].mean().item() for at in (0, 1))
    assert said == pytest.approx(true, abs=0.1)
    # Trained on the next token, the lens would give 3 nearly everything.
    assert true < 0.7


def test_without_a_step_it_is_the_logit_lens():
    model, tokens = small_model(dtype="float64"), small_tokens(12)
    made = lens.tuned_lens(model, tokens, steps=0)
    assert torch.equal(made.result.values[:, 0], made.result.values[:, 1])
    logits, stages = lens.lens_logits(model, model.run_with_cache(tokens)[1])
    found, names = made.logits(model, model.run_with_cache(tokens)[1])
    assert names == stages
    assert_equal_to(1e-12, found, logits)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_it_says_is_held_out():
    """On random models with few sequences it can do better on what it saw; held-out copies must not be seen."""
    model = small_model(dtype="float64")
    tokens = small_tokens(6).repeat(5, 1)
    made = lens.tuned_lens(model, tokens, steps=5, held_out=0.5)
    assert made.result.n_samples == 15
    again = lens.tuned_lens(model, tokens, steps=5, held_out=0.5)
    assert torch.equal(made.change, again.change)
    harmful = lens.tuned_lens(model, tokens, steps=30, held_out=0.5, lr=3.0)
    assert any("no better than the logit lens'" in text for text in harmful.result.warnings)


def test_padding_is_not_trained_on():
    model, tokens = small_model(dtype="float64"), small_tokens(10)
    mask = torch.ones_like(tokens)
    mask[:, 5:] = 0
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 3) % 11
    first, second = (lens.tuned_lens(model, t, steps=3, attention_mask=mask, seed=1) for t in (tokens, other))
    assert torch.equal(first.change, second.change)
    assert torch.equal(first.result.values, second.result.values)
    first, second = (lens.tuned_lens(model, t, steps=3, seed=1) for t in (tokens, other))
    assert not torch.equal(first.change, second.change)


def test_saved_and_opened_again(tmp_path: Path):
    model, tokens = small_model(dtype="float64"), small_tokens(12)
    made = lens.tuned_lens(model, tokens, steps=2)
    made.save(tmp_path / "lens")
    again = lens.TunedLens.load(tmp_path / "lens")
    cache = model.run_with_cache(tokens)[1]
    assert torch.equal(again.logits(model, cache)[0], made.logits(model, cache)[0])
    assert torch.equal(again.result.values, made.result.values)
    with pytest.raises(InputError, match="wanted the model that this lens was trained on"):
        again.logits(small_model(dtype="float64", act_fn="gelu", n_layers=1), cache)
    with pytest.raises(InputError, match="wanted a tuned lens in"):
        lens.TunedLens.load(tmp_path / "nothing")


def test_what_is_refused():
    model = small_model()
    with pytest.raises(InputError, match="wanted two different sequences or more"):
        lens.tuned_lens(model, small_tokens(1), steps=1)
    with pytest.raises(InputError, match="whole number of at least 1 for batch_size"):
        lens.tuned_lens(model, small_tokens(5), batch_size=0)
