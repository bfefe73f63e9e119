"""Tiny models whose every number is worked out on paper."""

from __future__ import annotations

import math

import pytest
import torch

from tests.model.small import assert_equal_to
from unweave.model.config import HookedTransformerConfig
from unweave.model.norm import LayerNorm
from unweave.model.transformer import HookedTransformer

WEIGHTS = {
    "embed.W_E": [[1, 0], [0, 1], [1, 1]],
    "blocks.0.attn.W_Q": [[[1], [1]]],
    "blocks.0.attn.W_K": [[[0], [math.log(2)]]],
    "blocks.0.attn.W_V": [[[9], [0]]],
    "blocks.0.attn.W_O": [[[1, -1]]],
    "blocks.0.attn.b_O": [0, 1],
    "blocks.0.mlp.W_in": [[1, 0], [0, 1]],
    "blocks.0.mlp.b_in": [-5, 2],
    "blocks.0.mlp.W_out": [[2, 0], [0, 3]],
    "blocks.0.mlp.b_out": [1, 0],
    "unembed.W_U": [[1, 0, 1], [0, 1, 1]],
    "unembed.b_U": [0, 0, -1],
}

# Tokens 0, 1, 2. Keys score 0, ln 2, ln 2 times the query's 1, 1, 2; future keys are masked.
MASKED = -math.inf
ACTIVATIONS = {
    "hook_embed": [[1, 0], [0, 1], [1, 1]],
    "blocks.0.attn.hook_q": [[[1]], [[1]], [[2]]],
    "blocks.0.attn.hook_k": [[[0]], [[math.log(2)]], [[math.log(2)]]],
    "blocks.0.attn.hook_v": [[[9]], [[0]], [[9]]],
    "blocks.0.attn.hook_attn_scores": [
        [[0, MASKED, MASKED], [0, math.log(2), MASKED], [0, math.log(4), math.log(4)]]
    ],
    "blocks.0.attn.hook_pattern": [[[1, 0, 0], [1 / 3, 2 / 3, 0], [1 / 9, 4 / 9, 4 / 9]]],
    "blocks.0.attn.hook_z": [[[9]], [[3]], [[5]]],
    "blocks.0.attn.hook_result": [[[9, -9]], [[3, -3]], [[5, -5]]],
    "blocks.0.hook_attn_out": [[9, -8], [3, -2], [5, -4]],
    "blocks.0.hook_resid_mid": [[10, -8], [3, -1], [6, -3]],
    "blocks.0.mlp.hook_pre": [[5, -6], [-2, 1], [1, -1]],
    "blocks.0.mlp.hook_post": [[5, 0], [0, 1], [1, 0]],
    "blocks.0.hook_mlp_out": [[11, 0], [1, 3], [3, 0]],
    "blocks.0.hook_resid_post": [[21, -8], [4, 2], [9, -3]],
}
LOGITS = [[21, -8, 12], [4, 2, 5], [9, -3, 5]]


@pytest.fixture
def model() -> HookedTransformer:
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=1,
            d_model=2,
            n_ctx=3,
            n_heads=1,
            d_head=1,
            d_mlp=2,
            d_vocab=3,
            act_fn="relu",
            normalization_type=None,
            positional_embedding_type="none",
            dtype="float64",
        )
    )
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state |= {name: torch.tensor(values, dtype=torch.float64) for name, values in WEIGHTS.items()}
    model.load_state_dict(state)
    return model


def test_the_logits(model: HookedTransformer):
    wanted = torch.tensor([LOGITS], dtype=torch.float64)
    assert_equal_to(1e-12, model(torch.tensor([[0, 1, 2]])), wanted)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation(model: HookedTransformer, name: str):
    _, cache = model.run_with_cache(torch.tensor([0, 1, 2]), names_filter=name)
    assert_equal_to(1e-12, cache[name], torch.tensor([ACTIVATIONS[name]], dtype=torch.float64))


def test_the_pattern_edited_by_hand(model: HookedTransformer):
    # Everyone attends to token 0 alone: z is 9 everywhere, and so on down the page.
    def to_the_first(pattern: torch.Tensor, hook: object) -> None:
        pattern.zero_()[..., 0] = 1

    logits = model.run_with_hooks(
        torch.tensor([0, 1, 2]), fwd_hooks=[("blocks.0.attn.hook_pattern", to_the_first)]
    )
    # resid_mid (10,-8) (9,-7) (10,-7); pre (5,-6) (4,-5) (5,-5); mlp_out (11,0) (9,0) (11,0)
    assert logits[0].tolist() == [[21, -8, 12], [18, -7, 10], [21, -7, 13]]


@pytest.mark.parametrize("watched", [False, True])
def test_layer_norm(watched: bool):
    config = HookedTransformerConfig(
        n_layers=0, d_model=2, n_ctx=1, d_head=2, d_vocab=1, act_fn="relu", eps=3.0
    )
    norm = LayerNorm(config)
    norm.w.data, norm.b.data = torch.tensor([4.0, 10.0]), torch.tensor([0.0, 1.0])
    scales: list[torch.Tensor] = []
    if watched:
        norm.hook_scale.add_hook(lambda scale, hook: scales.append(scale))
    # (3, 1): mean 2, centred (1, -1), variance 1, scale sqrt(1 + 3) = 2.
    assert norm(torch.tensor([[[3.0, 1.0]]])).tolist() == [[[2.0, -4.0]]]
    assert [scale.tolist() for scale in scales] == ([[[[2.0]]]] if watched else [])
