"""Each row of the table of initialisations: its spread and its shape."""

from __future__ import annotations

import math

import pytest
import torch

from tests.model.features import MOE
from tests.model.small import small_config
from unweave.model.transformer import HookedTransformer

SIZES = {
    "d_model": 64,
    "d_head": 16,
    "n_heads": 8,
    "d_vocab": 300,
    "n_ctx": 50,
    "positional_embedding_type": "standard",
}
# Fan in and fan out, as x @ W reads and writes.
FANS = {
    "embed.W_E": (300, 64),
    "pos_embed.W_pos": (50, 64),
    "blocks.0.attn.W_Q": (64, 8 * 16),
    "blocks.0.attn.W_O": (16, 8 * 64),
    "blocks.1.mlp.W_in": (64, 256),
    "blocks.1.mlp.W_out": (256, 64),
    "unembed.W_U": (64, 300),
}


def wanted_std(mode: str, name: str, fan_in: int, fan_out: int) -> float:
    if mode.startswith("xavier"):
        return math.sqrt(2 / (fan_in + fan_out))
    if mode.startswith("kaiming"):
        return math.sqrt(2 / fan_in)
    return {"embed.W_E": 1, "pos_embed.W_pos": 1, "unembed.W_U": 1 / 64}.get(name, 1 / math.sqrt(fan_in))


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize(
    "mode", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "muP"]
)
def test_the_spread_of_every_weight(mode: str, gain: float):
    fields = {} if gain == 1.0 else {"initializer_range": gain}
    state = HookedTransformer(small_config(**SIZES, init_mode=mode, **fields)).state_dict()
    for name, fans in FANS.items():
        weight, std = state[name].flatten().double(), gain * wanted_std(mode, name, *fans)
        # Four standard errors; a uniform's is smaller.
        assert abs(weight.std() / std - 1) < 4 / math.sqrt(2 * weight.numel()), name
        assert abs(weight.mean()) < 4 * std / math.sqrt(weight.numel()), name
        # A uniform ends at sqrt(3) standard deviations; a normal has 8% of its mass beyond.
        beyond = (weight.abs() > math.sqrt(3) * std * 1.001).double().mean()
        assert beyond == 0 if mode.endswith("uniform") else beyond > 0.05, name


@pytest.mark.parametrize(
    "fields",
    [
        {"n_heads": 8, "n_key_value_heads": 2},
        MOE,
        {"n_token_types": 2},
        {
            "positional_embedding_type": "relative_positional_bias",
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 20,
        },
    ],
)
@pytest.mark.parametrize("mode", ["gpt2", "xavier_normal"])
def test_nothing_is_left_as_it_was_in_memory(fields: dict, mode: str):
    first, second = (
        HookedTransformer(small_config(**{**SIZES, **fields}, init_mode=mode)).state_dict() for _ in range(2)
    )
    for name, weight in first.items():
        assert torch.equal(weight, second[name])
        is_matrix = weight.ndim > 1 and not name.rpartition(".")[2].lstrip("_").startswith("b_")
        assert is_matrix == bool(weight.any() and weight.unique().numel() > 1), name
        assert weight.abs().max() < 10
