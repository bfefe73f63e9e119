"""The fused and the explicit attention are one function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.model.transformer import HookedTransformer


def gradients(model: HookedTransformer, tokens: Tensor, names: list[str]) -> dict[str, Tensor]:
    model.zero_grad()
    with model.recording(names):
        model(tokens).pow(2).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("site", ["hook_attn_scores", "hook_pattern"])
def test_they_agree_also_in_their_gradients(fused_calls: list[int], site: str, dtype: str):
    model, tokens = small_model(n_heads=2, dtype=dtype), small_tokens()
    fused_logits, fused = model(tokens), gradients(model, tokens, ["hook_embed"])
    assert len(fused_calls) == 4, "two layers, two runs"
    fused_calls.clear()
    both = [f"blocks.{layer}.attn.{site}" for layer in (0, 1)]
    explicit_logits, _ = model.run_with_cache(tokens, names_filter=both)
    explicit = gradients(model, tokens, both)
    assert not fused_calls
    assert_equal_to(1e-5, explicit_logits, fused_logits)
    for name in fused:
        # Keys' biases have no gradient in exact arithmetic: there is only noise to compare.
        if not name.endswith("b_K"):
            assert_equal_to(1e-5, explicit[name], fused[name], name)


def test_only_the_layer_that_is_watched_is_explicit(fused_calls: list[int]):
    small_model().run_with_cache(small_tokens(), names_filter="blocks.1.attn.hook_pattern")
    assert len(fused_calls) == 1


def test_other_hooks_do_not_need_the_explicit_path(fused_calls: list[int]):
    model = small_model()
    model.run_with_cache(small_tokens(), names_filter=lambda name: not name.endswith(("scores", "pattern")))
    assert len(fused_calls) == 2


def test_the_pattern_is_causal_and_sums_to_one():
    _, cache = small_model(n_heads=2).run_with_cache(small_tokens())
    pattern = cache["pattern", 0]
    assert pattern.shape == (3, 2, 7, 7)
    assert torch.equal(pattern, pattern.tril())
    torch.testing.assert_close(pattern.sum(-1), torch.ones(3, 2, 7))


def test_scores_that_are_edited_are_what_the_softmax_sees():
    model, tokens, at = small_model(), small_tokens(), "blocks.0.attn.hook_attn_scores"
    with model.hooks(fwd_hooks=[(at, lambda scores, hook: scores * 0)]):
        _, cache = model.run_with_cache(tokens)
    # 0 * -inf is NaN: the mask is the editor's to keep.
    assert cache["pattern", 0].isnan().any()
    with model.hooks(fwd_hooks=[(at, lambda scores, hook: scores.clamp(max=0).clamp_min(-1e9) * 0)]):
        _, cache = model.run_with_cache(tokens)
    torch.testing.assert_close(cache["pattern", 0], torch.full((3, 2, 7, 7), 1 / 7))


def test_each_heads_result_and_the_bias_sum_to_what_attention_adds():
    model, tokens = small_model(n_heads=2), small_tokens()
    names = ["blocks.0.attn.hook_result", "blocks.0.hook_attn_out"]
    _, cache = model.run_with_cache(tokens, names_filter=names)
    assert_equal_to(1e-5, cache["result", 0].sum(2) + model.b_O[0], cache["attn_out", 0])


def test_a_result_that_is_edited_is_what_the_stream_gets():
    model, tokens = small_model(n_heads=2), small_tokens()
    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_result", lambda result, hook: result * 0)]):
        _, cache = model.run_with_cache(tokens)
    assert_equal_to(1e-6, cache["attn_out", 0], model.b_O[0].expand(3, 7, 8))


@pytest.mark.parametrize("names", [None, lambda name: True])
def test_results_are_not_made_for_those_who_want_everything(names: object, monkeypatch: pytest.MonkeyPatch):
    model = small_model()
    made: list[str] = []
    einsum = torch.einsum
    monkeypatch.setattr(torch, "einsum", lambda rule, *args: made.append(rule) or einsum(rule, *args))
    _, cache = model.run_with_cache(small_tokens(), names_filter=names)
    assert not [name for name in cache if name.endswith("hook_result")]
    assert "bphe,hed->bphd" not in made
    model.run_with_cache(small_tokens(), names_filter=lambda name: name.endswith("hook_result"))
    assert made.count("bphe,hed->bphd") == 2
