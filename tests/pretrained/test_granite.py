"""Granite against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.GraniteConfig(**{**SIZES, **others})


class TestGranite(FamilyTests):
    model = transformers.GraniteForCausalLM
    configs = {  # noqa: RUF012
        "every multiplier": lambda: config(
            embedding_multiplier=12.0,
            residual_multiplier=0.22,
            logits_scaling=8.0,
            attention_multiplier=0.25,
            num_key_value_heads=2,
        ),
        "none, biases": lambda: config(attention_bias=True, mlp_bias=True, attention_multiplier=0.5),
        "scaled positions, tied": lambda: config(
            tie_word_embeddings=True,
            residual_multiplier=0.5,
            attention_multiplier=0.3,
            rope_parameters={"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
        ),
    }
    hub = {  # noqa: RUF012
        "granite-3.1-2b-base": {
            "architectures": ["GraniteForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.1,
            "attention_multiplier": 0.015625,
            "bos_token_id": 0,
            "embedding_multiplier": 12.0,
            "eos_token_id": 0,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "initializer_range": 0.02,
            "intermediate_size": 8192,
            "logits_scaling": 8.0,
            "max_position_embeddings": 131072,
            "mlp_bias": False,
            "model_type": "granite",
            "num_attention_heads": 32,
            "num_hidden_layers": 40,
            "num_key_value_heads": 8,
            "pad_token_id": 0,
            "residual_multiplier": 0.22,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "rope_theta": 5000000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.47.0.dev0",
            "use_cache": True,
            "vocab_size": 49152,
        },
    }
