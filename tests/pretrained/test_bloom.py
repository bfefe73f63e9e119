"""BLOOM against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "n_head": 4, "n_layer": 3, "vocab_size": 50, "seq_length": 32}


def config(**others: Any) -> Any:
    return transformers.BloomConfig(**{**SIZES, **others})


class TestBloom(FamilyTests):
    model = transformers.BloomForCausalLM
    configs = {  # noqa: RUF012
        "four heads": lambda: config(),
        "six heads, whose slopes are of two powers": lambda: config(hidden_size=24, n_head=6),
        "not tied, another eps": lambda: config(tie_word_embeddings=False, layer_norm_epsilon=1e-3),
    }
    hub = {  # noqa: RUF012
        "bloom-560m": {
            "apply_residual_connection_post_layernorm": False,
            "attention_dropout": 0.0,
            "attention_softmax_in_fp32": True,
            "architectures": ["BloomForCausalLM"],
            "bias_dropout_fusion": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 3,
            "unk_token_id": 0,
            "hidden_dropout": 0.0,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "masked_softmax_fusion": True,
            "model_type": "bloom",
            "n_embed": 1024,
            "n_inner": None,
            "n_layer": 24,
            "num_attention_heads": 16,
            "offset_alibi": 100,
            "pretraining_tp": 1,
            "skip_bias_add": True,
            "skip_bias_add_qkv": False,
            "transformers_version": "4.20.0",
            "use_cache": True,
            "vocab_size": 250880,
        },
        "bloomz-560m": {
            "apply_residual_connection_post_layernorm": False,
            "architectures": ["BloomForCausalLM"],
            "attention_dropout": 0.0,
            "attention_softmax_in_fp32": True,
            "bias_dropout_fusion": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_dropout": 0.0,
            "hidden_size": 1024,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "masked_softmax_fusion": True,
            "model_type": "bloom",
            "n_head": 16,
            "n_inner": None,
            "n_layer": 24,
            "offset_alibi": 100,
            "pad_token_id": 3,
            "pretraining_tp": 1,
            "seq_length": 2048,
            "skip_bias_add": True,
            "skip_bias_add_qkv": False,
            "slow_but_exact": False,
            "torch_dtype": "float16",
            "transformers_version": "4.21.0",
            "unk_token_id": 0,
            "use_cache": True,
            "vocab_size": 250880,
        },
    }
