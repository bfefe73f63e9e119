"""OLMo 2 against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.Olmo2Config(**{**SIZES, **others})


class TestOlmo2(FamilyTests):
    model = transformers.Olmo2ForCausalLM
    configs = {  # noqa: RUF012
        "as published": lambda: config(),
        "grouped heads, stretched": lambda: config(
            num_key_value_heads=2,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 100.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        ),
        "tied, biases": lambda: config(
            tie_word_embeddings=True, attention_bias=True, num_key_value_heads=1, rms_norm_eps=1e-3
        ),
    }
    hub = {  # noqa: RUF012
        "OLMo-2-1124-7B": {
            "architectures": ["Olmo2ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "eos_token_id": 100257,
            "hidden_act": "silu",
            "hidden_size": 4096,
            "initializer_range": 0.02,
            "intermediate_size": 11008,
            "max_position_embeddings": 4096,
            "model_type": "olmo2",
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 32,
            "pad_token_id": 100277,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 500000,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "transformers_version": "4.47.0",
            "use_cache": True,
            "vocab_size": 100352,
        },
    }
