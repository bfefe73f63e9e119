"""Qwen3 against transformers: norms of queries and keys, over heads whose size is not d_model / n_heads."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
SIZES |= {"num_key_value_heads": 2, "head_dim": 8}


def config(**others: Any) -> Any:
    return transformers.Qwen3Config(**{**SIZES, **others})


class TestQwen3(FamilyTests):
    model = transformers.Qwen3ForCausalLM
    configs = {  # noqa: RUF012
        "groups, tied": lambda: config(tie_word_embeddings=True),
        "biases, every head its own keys": lambda: config(attention_bias=True, num_key_value_heads=4),
        "windows from the third layer on, one head's keys": lambda: config(
            use_sliding_window=True,
            sliding_window=4,
            max_window_layers=2,
            num_key_value_heads=1,
            rms_norm_eps=1e-3,
        ),
        "YaRN": lambda: config(
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 1000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
            head_dim=4,
        ),
    }
    # Each acts only beside the others: test_qwen2.py varies them together.
    fixed = ("use_sliding_window", "sliding_window", "max_window_layers")
    hub = {  # noqa: RUF012
        "Qwen3-0.6B": {
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 1024,
            "initializer_range": 0.02,
            "intermediate_size": 3072,
            "max_position_embeddings": 40960,
            "max_window_layers": 28,
            "model_type": "qwen3",
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 1000000,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.51.0",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
        "Qwen3-4B-Instruct-2507": {
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "head_dim": 128,
            "hidden_act": "silu",
            "hidden_size": 2560,
            "initializer_range": 0.02,
            "intermediate_size": 9728,
            "max_position_embeddings": 262144,
            "max_window_layers": 36,
            "model_type": "qwen3",
            "num_attention_heads": 32,
            "num_hidden_layers": 36,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 5000000,
            "sliding_window": None,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.51.0",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
    }
