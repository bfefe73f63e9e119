"""OLMo 1 against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.OlmoConfig(**{**SIZES, **others})


class TestOlmo(FamilyTests):
    model = transformers.OlmoForCausalLM
    configs = {  # noqa: RUF012
        "as published": lambda: config(),
        "clipped, grouped heads": lambda: config(clip_qkv=0.05, num_key_value_heads=2),
        "tied, biases, stretched": lambda: config(
            tie_word_embeddings=True,
            attention_bias=True,
            rope_parameters={"rope_type": "linear", "rope_theta": 100.0, "factor": 2.0},
        ),
    }
    hub = {  # noqa: RUF012
        "OLMo-1B-hf": {
            "architectures": ["OlmoForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "clip_qkv": None,
            "eos_token_id": 50279,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "initializer_range": 0.02,
            "intermediate_size": 8192,
            "max_position_embeddings": 2048,
            "model_type": "olmo",
            "num_attention_heads": 16,
            "num_hidden_layers": 16,
            "num_key_value_heads": 16,
            "pad_token_id": 1,
            "rope_scaling": None,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "float32",
            "transformers_version": "4.40.0.dev0",
            "use_cache": True,
            "vocab_size": 50304,
        },
    }
