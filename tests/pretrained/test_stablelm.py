"""StableLM against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.StableLmConfig(**{**SIZES, **others})


class TestStableLM(FamilyTests):
    model = transformers.StableLmForCausalLM
    configs = {  # noqa: RUF012
        "3B: a quarter rotated": lambda: config(num_key_value_heads=4),
        "2: biases, grouped heads": lambda: config(
            use_qkv_bias=True, num_key_value_heads=2, layer_norm_eps=1e-3
        ),
        "parallel, half rotated, tied": lambda: config(
            use_parallel_residual=True,
            tie_word_embeddings=True,
            num_key_value_heads=1,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
        ),
    }
    hub = {  # noqa: RUF012
        "stablelm-2-1_6b": {
            "architectures": ["StableLmForCausalLM"],
            "bos_token_id": 100257,
            "eos_token_id": 100257,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "initializer_range": 0.02,
            "intermediate_size": 5632,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 4096,
            "model_type": "stablelm",
            "num_attention_heads": 32,
            "num_hidden_layers": 24,
            "num_key_value_heads": 32,
            "partial_rotary_factor": 0.25,
            "rope_theta": 10000,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.38.0",
            "use_cache": True,
            "use_qkv_bias": True,
            "vocab_size": 100352,
        },
    }
