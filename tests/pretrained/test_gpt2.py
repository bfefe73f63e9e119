"""GPT-2 against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"n_embd": 16, "n_head": 4, "n_layer": 3, "n_positions": 32, "vocab_size": 50}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.GPT2Config(**{**SIZES, **others})


class TestGPT2(FamilyTests):
    model = transformers.GPT2LMHeadModel
    configs = {  # noqa: RUF012
        "as published": lambda: config(),
        "untied, relu, narrow": lambda: config(
            tie_word_embeddings=False, activation_function="relu", n_inner=24, layer_norm_epsilon=1e-3
        ),
        "scaled by layer, upcast": lambda: config(
            scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True
        ),
        "scores not scaled": lambda: config(scale_attn_weights=False, activation_function="gelu"),
    }
    hub = {  # noqa: RUF012
        "gpt2": {
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "attn_pdrop": 0.1,
            "bos_token_id": 50256,
            "embd_pdrop": 0.1,
            "eos_token_id": 50256,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "model_type": "gpt2",
            "n_ctx": 1024,
            "n_embd": 768,
            "n_head": 12,
            "n_layer": 12,
            "n_positions": 1024,
            "resid_pdrop": 0.1,
            "summary_activation": None,
            "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True,
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
            "vocab_size": 50257,
        },
        "rugpt3large": {
            "architectures": ["GPT2LMHeadModel"],
            "activation_function": "gelu_new",
            "attn_pdrop": 0.1,
            "bos_token_id": 1,
            "embd_pdrop": 0.1,
            "eos_token_id": 2,
            "id2label": {"0": "LABEL_0"},
            "initializer_range": 0.02,
            "label2id": {"LABEL_0": 0},
            "layer_norm_epsilon": 1e-05,
            "model_type": "gpt2",
            "n_ctx": 2048,
            "n_embd": 1536,
            "n_head": 16,
            "n_inner": None,
            "n_layer": 24,
            "n_positions": 2048,
            "n_special": 0,
            "output_past": True,
            "pad_token_id": 0,
            "predict_special_tokens": True,
            "resid_pdrop": 0.1,
            "scale_attn_by_inverse_layer_idx": False,
            "scale_attn_weights": True,
            "torch_dtype": "float32",
            "transformers_version": "4.55.4",
            "use_cache": True,
            "vocab_size": 50257,
        },
    }
