"""LLaMA against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.LlamaConfig(**{**SIZES, **others})


def scaled(kind: str, **numbers: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": 100.0, **numbers}


class TestLlama(FamilyTests):
    model = transformers.LlamaForCausalLM
    configs = {  # noqa: RUF012
        "LLaMA 1: every head its own keys": lambda: config(rms_norm_eps=1e-5),
        "LLaMA 3: groups, scaling, tied": lambda: config(
            num_key_value_heads=2,
            tie_word_embeddings=True,
            rope_parameters=scaled(
                "llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            ),
        ),
        "biases, wide heads": lambda: config(attention_bias=True, head_dim=8, num_key_value_heads=1),
        "biases of the MLP": lambda: config(mlp_bias=True),
        "linear scaling": lambda: config(rope_parameters=scaled("linear", factor=4.0), hidden_act="gelu"),
        "YaRN": lambda: config(
            rope_parameters=scaled("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=8.0),
            num_key_value_heads=2,
        ),
        "dynamic, within its length": lambda: config(rope_parameters=scaled("dynamic", factor=2.0)),
    }
    hub = {  # noqa: RUF012
        "Llama-2-7b-hf": {
            "_name_or_path": "meta-llama/Llama-2-7b-hf",
            "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 4096,
            "initializer_range": 0.02,
            "intermediate_size": 11008,
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 32,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.31.0.dev0",
            "use_cache": True,
            "vocab_size": 32000,
        },
        "Llama-3.2-1B": {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 128000,
            "eos_token_id": 128001,
            "head_dim": 64,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "initializer_range": 0.02,
            "intermediate_size": 8192,
            "max_position_embeddings": 131072,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 32,
            "num_hidden_layers": 16,
            "num_key_value_heads": 8,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.45.0.dev0",
            "use_cache": True,
            "vocab_size": 128256,
        },
        "the first LLaMA": {
            "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "initializer_range": 0.02,
            "max_position_embeddings": 2048,
            "model_type": "llama",
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "pad_token_id": 0,
            "rms_norm_eps": 1e-06,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.28.0.dev0",
            "use_cache": True,
            "vocab_size": 32000,
        },
    }
