"""The table of kernels: what it picks, and that the pick does not show in the result."""

from __future__ import annotations

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.model import kernels
from unweave.model.kernels import attention_kernel


def test_without_bf16_products_attention_is_fused():
    assert [attention_kernel("cpu", n_pos) for n_pos in (1, 50, 256, 4096)] == ["fused"] * 4


def test_with_them_short_sequences_on_a_cpu_go_step_by_step():
    with torch.autocast("cpu", torch.bfloat16):
        picked = [attention_kernel("cpu", n_pos) for n_pos in (1, 50, 256, 257, 4096)]
        assert attention_kernel("cuda", 50) == "fused"
    assert picked == ["explicit", "explicit", "explicit", "fused", "fused"]


@pytest.mark.parametrize(("limit", "fused"), [(6, 2), (7, 0)])
def test_either_kernel_gives_the_logits_and_gradients_of_fp32(
    fused_calls: list[int], monkeypatch: pytest.MonkeyPatch, limit: int, fused: int
):
    model, tokens = small_model(n_heads=2), small_tokens()
    exact = model(tokens)
    wanted = torch.autograd.grad(exact.pow(2).mean(), model.blocks[0].attn.W_V)[0]
    fused_calls.clear()
    monkeypatch.setitem(kernels.EXPLICIT_UP_TO_BF16, "cpu", limit)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens)
    assert len(fused_calls) == fused, "two layers, sequences of 7"
    # Eight significant bits a factor.
    assert_equal_to(5e-2, logits, exact)
    gradient = torch.autograd.grad(logits.float().pow(2).mean(), model.blocks[0].attn.W_V)[0]
    assert_equal_to(5e-2, gradient, wanted)


def test_to_look_at_the_pattern_does_not_change_what_the_step_by_step_kernel_gives():
    model, tokens = small_model(), small_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        watched, _ = model.run_with_cache(tokens, names_filter=lambda name: name.endswith("pattern"))
        assert torch.equal(watched, model(tokens))


def test_a_model_whose_weights_are_shapes_alone_runs():
    assert attention_kernel("meta", 4) == "fused"
    model, tokens = small_model().to("meta"), small_tokens()
    assert model(tokens).shape == (3, 7, 11)
    _, cache = model.run_with_cache(tokens)
    assert cache["pattern", 1].shape == (3, 2, 7, 7)
