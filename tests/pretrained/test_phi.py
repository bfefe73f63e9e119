"""Phi 1 to 2 against transformers: attention and MLP side by side, partly rotated heads, a bias of the logits."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.PhiConfig(**{**SIZES, **others})


def partly(fraction: float, **scaling: Any) -> dict[str, Any]:
    table = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": fraction, **scaling}
    return {"rope_parameters": table, "partial_rotary_factor": fraction}


PHI_2 = {
    "_name_or_path": "microsoft/phi-2",
    "architectures": ["PhiForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 50256,
    "embd_pdrop": 0.0,
    "eos_token_id": 50256,
    "hidden_act": "gelu_new",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 10240,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "phi",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "partial_rotary_factor": 0.4,
    "qk_layernorm": False,
    "resid_pdrop": 0.1,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.37.0",
    "use_cache": True,
    "vocab_size": 51200,
}


class TestPhi(FamilyTests):
    model = transformers.PhiForCausalLM
    configs = {  # noqa: RUF012
        "half of each head rotated": lambda: config(),
        "normed queries and keys, groups, a quarter rotated": lambda: config(
            qk_layernorm=True, num_key_value_heads=2, **partly(0.25)
        ),
        "all rotated and scaled, relu, tied": lambda: config(
            hidden_act="relu", tie_word_embeddings=True, **partly(1.0, rope_type="linear", factor=4.0)
        ),
        "normed queries and keys, every head its own": lambda: config(qk_layernorm=True, layer_norm_eps=1e-3),
    }
    hub = {  # noqa: RUF012
        "phi-1": {
            **PHI_2,
            "_name_or_path": "microsoft/phi-1",
            "bos_token_id": None,
            "eos_token_id": None,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
            "num_key_value_heads": None,
            "partial_rotary_factor": 0.5,
            "resid_pdrop": 0.0,
        },
        "phi-1_5": {
            **PHI_2,
            "_name_or_path": "microsoft/phi-1_5",
            "bos_token_id": None,
            "eos_token_id": None,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
            "num_key_value_heads": None,
            "partial_rotary_factor": 0.5,
            "resid_pdrop": 0.0,
        },
        "phi-2": PHI_2,
    }
