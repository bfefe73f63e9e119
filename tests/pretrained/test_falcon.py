"""Falcon against transformers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, transformers
from unweave.core.errors import InputError
from unweave.pretrained.families import family_of

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "vocab_size": 50}
SIZES |= {"max_position_embeddings": 32, "ffn_hidden_size": 24}

# As it is on the hub.
FALCON_7B = {
    "alibi": False,
    "apply_residual_connection_post_layernorm": False,
    "architectures": ["FalconForCausalLM"],
    "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_falcon.FalconConfig"},
    "bias": False,
    "bos_token_id": 11,
    "eos_token_id": 11,
    "hidden_dropout": 0.0,
    "hidden_size": 4544,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "falcon",
    "multi_query": True,
    "new_decoder_architecture": False,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
    "parallel_attn": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.27.4",
    "use_cache": True,
    "vocab_size": 65024,
}


def config(**others: Any) -> Any:
    return transformers.FalconConfig(**{**SIZES, **others})


class TestFalcon(FamilyTests):
    model = transformers.FalconForCausalLM
    # How many norms there are, the weights' names say; a number that can't be is refused (below).
    # transformers, too, ignores multi_query in the new architecture.
    fixed = ("num_ln_in_parallel_attn", "multi_query")
    configs = {  # noqa: RUF012
        "7B: parallel, one norm, one key": lambda: config(),
        "40B: two norms, two keys, not tied": lambda: config(
            new_decoder_architecture=True, num_kv_heads=2, num_attention_heads=8, tie_word_embeddings=False
        ),
        "11B: one norm, two keys, another base": lambda: config(
            new_decoder_architecture=True,
            num_kv_heads=2,
            num_ln_in_parallel_attn=1,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
        "RW: ALiBi, one after the other, biases": lambda: config(
            alibi=True, parallel_attn=False, multi_query=False, bias=True, activation="gelu_new"
        ),
        "ALiBi of six heads, parallel, one key, biases": lambda: config(
            alibi=True, hidden_size=24, num_attention_heads=6, bias=True
        ),
    }
    hub = {  # noqa: RUF012
        "falcon-7b": FALCON_7B,
        "falcon-40b": {
            **FALCON_7B,
            "hidden_size": 8192,
            "new_decoder_architecture": True,
            "num_attention_heads": 128,
            "num_hidden_layers": 60,
            "num_kv_heads": 8,
        },
        "falcon-rw-1b": {
            **FALCON_7B,
            "alibi": True,
            "bias": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_size": 2048,
            "multi_query": False,
            "num_attention_heads": 32,
            "num_hidden_layers": 24,
            "parallel_attn": False,
            "vocab_size": 50304,
        },
        "falcon-11B": {
            "activation": "gelu",
            "alibi": False,
            "architectures": ["FalconForCausalLM"],
            "attention_dropout": 0.0,
            "bias": False,
            "bos_token_id": 11,
            "eos_token_id": 11,
            "ff_factor": 4,
            "ffn_hidden_size": 16384,
            "hidden_dropout": 0.0,
            "hidden_size": 4096,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "max_position_embeddings": 8192,
            "model_type": "falcon",
            "multi_query": True,
            "new_decoder_architecture": True,
            "num_attention_heads": 32,
            "num_hidden_layers": 60,
            "num_kv_heads": 8,
            "num_ln_in_parallel_attn": 1,
            "parallel_attn": True,
            "rope_scaling": None,
            "rope_theta": 500042.0,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.38.2",
            "use_cache": True,
            "vocab_size": 65024,
        },
    }


def test_queries_share_one_key_or_have_their_own():
    def groups(**others: Any) -> int | None:
        return family_of(FALCON_7B).read_config({**FALCON_7B, **others}).n_key_value_heads

    assert groups() == groups(num_kv_heads=71) == groups(num_kv_heads=1) == 1
    assert groups(multi_query=False) is None
    new = {"new_decoder_architecture": True, "num_attention_heads": 64, "hidden_size": 4096}
    assert groups(**new, num_kv_heads=8) == groups(**new, num_kv_heads=8, multi_query=False) == 8


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn=2"),
        ({"num_ln_in_parallel_attn": 3, "new_decoder_architecture": True}, "num_ln_in_parallel_attn=3"),
        ({"num_kv_heads": 8}, "num_kv_heads=8"),
        ({"parallel_attn": False, "new_decoder_architecture": True}, "parallel_attn=False"),
        ({"alibi": True, "rope_theta": 500.0}, r"rope_theta=500.0 \(positions are ALiBi's\)"),
        ({"apply_residual_connection_post_layernorm": True}, "apply_residual_connection_post_layernorm=True"),
    ],
)
def test_what_transformers_cannot_run_is_refused_by_name(others: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        family_of(FALCON_7B).read_config({**FALCON_7B, **others})
