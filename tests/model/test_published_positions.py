"""Slopes, rounded biases and stretched rotations, against the code with which models are published."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, Phi3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.bloom.modeling_bloom import build_alibi_tensor as bloom_alibi
from transformers.models.falcon.modeling_falcon import build_alibi_tensor as falcon_alibi

from tests.model.small import assert_equal_to, small_config, small_model, small_tokens
from unweave.model.rotary import Rotary

ALIBI = {"positional_embedding_type": "alibi", "alibi_slopes": "nearest_power"}
LEFT = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]])


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 7, 8])
@pytest.mark.parametrize("falcon", [False, True])
def test_alibi_of_bloom_and_falcon(heads: int, falcon: bool):
    fields = {"alibi_scaled": True, "alibi_rounded": True} if falcon else {}
    model = small_model(**ALIBI, **fields, n_heads=heads)
    cache = model.run_with_cache(small_tokens(), attention_mask=LEFT)[1]
    published = (falcon_alibi if falcon else bloom_alibi)(LEFT, heads, torch.float32)
    added = published.reshape(3, heads, 1, 7) / (math.sqrt(4) if falcon else 1)
    scores = torch.einsum("bqhe,bkhe->bhqk", cache["q", 0], cache["k", 0]) / math.sqrt(4)
    hidden = ~(torch.ones(7, 7).tril().bool() & LEFT[:, None, None].bool())
    wanted = (scores + added).masked_fill(hidden, torch.finfo().min).softmax(-1)
    seen = LEFT[:, None, :, None].bool()
    assert_equal_to(1e-5, cache["pattern", 0] * seen, wanted * seen)


LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.5, 2.0, 4.0],
    "long_factor": [1.0, 3.0, 8.0, 20.0],
    "original_max_position_embeddings": 16,
}
STRETCHED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": ({"rope_type": "linear", "factor": 4.0}, {"rotary_scaling_factor": 4.0}),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        {"use_NTK_by_parts_rope": True, "NTK_original_ctx_len": 64},
    ),
    "yarn": (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        {
            "use_yarn_rope": True,
            "yarn_factor": 4.0,
            "yarn_original_max_position_embeddings": 32,
            "yarn_attention_factor": 0.1 * math.log(4.0) + 1.0,
        },
    ),
}


@pytest.mark.parametrize("kind", STRETCHED)
def test_stretched_rotations(kind: str):
    theirs, ours = STRETCHED[kind]
    published = LlamaConfig(
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=128,
        rope_parameters={**theirs, "rope_theta": 500.0},
    )
    frequencies, magnitude = ROPE_INIT_FUNCTIONS[kind](published, device="cpu")
    cfg = small_config(
        d_model=32, d_head=8, positional_embedding_type="rotary", rotary_base=500.0, n_ctx=128, **ours
    )
    rotary = Rotary.of_layer(cfg, 0)
    assert_equal_to(1e-6, 1 / rotary.periods(torch.float32), frequencies)
    assert rotary.magnitude == pytest.approx(magnitude)


@pytest.mark.parametrize("n_pos", [16, 17])
def test_longrope_is_short_up_to_its_bound_and_long_beyond(n_pos: int):
    published = Phi3Config(
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=128,
        original_max_position_embeddings=16,
        pad_token_id=0,
        rope_parameters={**LONG, "rope_theta": 500.0},
    )
    frequencies, magnitude = ROPE_INIT_FUNCTIONS["longrope"](published, device="cpu", seq_len=n_pos)
    cfg = small_config(
        d_model=32,
        d_head=8,
        n_ctx=128,
        positional_embedding_type="rotary",
        rotary_base=500.0,
        use_longrope=True,
        longrope_short_factors=LONG["short_factor"],
        longrope_long_factors=LONG["long_factor"],
        longrope_original_ctx_len=16,
        longrope_attention_factor=magnitude,
    )
    cos, sin = Rotary.of_layer(cfg, 0).table(torch.arange(n_pos), torch.float32)
    angles = torch.arange(n_pos)[:, None] * frequencies
    assert_equal_to(1e-5, cos, magnitude * torch.cat([angles, angles], -1).cos())
    assert_equal_to(1e-5, sin, magnitude * torch.cat([angles, angles], -1).sin())
