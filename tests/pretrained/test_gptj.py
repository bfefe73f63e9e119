"""GPT-J against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"n_embd": 32, "n_head": 4, "n_layer": 3, "n_positions": 32, "vocab_size": 50, "rotary_dim": 4}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.GPTJConfig(**{**SIZES, **others})


class TestGPTJ(FamilyTests):
    model = transformers.GPTJForCausalLM
    configs = {  # noqa: RUF012
        "as published: half of a head rotated": lambda: config(),
        "all of a head rotated, narrow, relu": lambda: config(
            rotary_dim=8, n_inner=24, activation_function="relu"
        ),
        "tied, two heads": lambda: config(tie_word_embeddings=True, n_head=2, layer_norm_epsilon=1e-3),
    }
    hub = {  # noqa: RUF012
        "gpt-j-6b": {
            "activation_function": "gelu_new",
            "architectures": ["GPTJForCausalLM"],
            "attn_pdrop": 0.0,
            "bos_token_id": 50256,
            "embd_pdrop": 0.0,
            "eos_token_id": 50256,
            "gradient_checkpointing": False,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "model_type": "gptj",
            "n_embd": 4096,
            "n_head": 16,
            "n_inner": None,
            "n_layer": 28,
            "n_positions": 2048,
            "resid_pdrop": 0.0,
            "rotary": True,
            "rotary_dim": 64,
            "scale_attn_weights": True,
            "summary_activation": None,
            "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True,
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "task_specific_params": {
                "text-generation": {"do_sample": True, "max_length": 50, "temperature": 1.0}
            },
            "tie_word_embeddings": False,
            "tokenizer_class": "GPT2Tokenizer",
            "transformers_version": "4.18.0.dev0",
            "use_cache": True,
            "vocab_size": 50400,
        },
    }
