"""GPT-BigCode against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"n_embd": 16, "n_head": 4, "n_layer": 3, "n_inner": 24, "vocab_size": 50, "n_positions": 32}


def config(**others: Any) -> Any:
    return transformers.GPTBigCodeConfig(**{**SIZES, **others})


class TestGPTBigCode(FamilyTests):
    model = transformers.GPTBigCodeForCausalLM
    configs = {  # noqa: RUF012
        "one key for all heads": lambda: config(),
        "a key for each head, not tied": lambda: config(multi_query=False, tie_word_embeddings=False),
        "scores not scaled, another activation, four times as wide": lambda: config(
            scale_attn_weights=False, activation_function="gelu", n_inner=None, layer_norm_epsilon=1e-3
        ),
    }
    hub = {  # noqa: RUF012
        "gpt_bigcode-santacoder": {
            "activation_function": "gelu_pytorch_tanh",
            "architectures": ["GPTBigCodeForCausalLM"],
            "attention_softmax_in_fp32": True,
            "multi_query": True,
            "attn_pdrop": 0.1,
            "bos_token_id": 49152,
            "embd_pdrop": 0.1,
            "eos_token_id": 49152,
            "inference_runner": 0,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "max_batch_size": None,
            "max_sequence_length": None,
            "model_type": "gpt_bigcode",
            "n_embd": 2048,
            "n_head": 16,
            "n_inner": 8192,
            "n_layer": 24,
            "n_positions": 2048,
            "pad_key_length": True,
            "pre_allocate_kv_cache": False,
            "resid_pdrop": 0.1,
            "scale_attention_softmax_in_fp32": True,
            "scale_attn_weights": True,
            "summary_activation": None,
            "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True,
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "torch_dtype": "float32",
            "transformers_version": "4.27.0.dev0",
            "use_cache": True,
            "validate_runner_input": True,
            "vocab_size": 49280,
        },
        "starcoderbase": {
            "activation_function": "gelu",
            "architectures": ["GPTBigCodeForCausalLM"],
            "attention_softmax_in_fp32": True,
            "attn_pdrop": 0.1,
            "bos_token_id": 0,
            "embd_pdrop": 0.1,
            "eos_token_id": 0,
            "inference_runner": 0,
            "initializer_range": 0.02,
            "layer_norm_epsilon": 1e-05,
            "max_batch_size": None,
            "max_sequence_length": None,
            "model_type": "gpt_bigcode",
            "multi_query": True,
            "n_embd": 6144,
            "n_head": 48,
            "n_inner": 24576,
            "n_layer": 40,
            "n_positions": 8192,
            "pad_key_length": True,
            "pre_allocate_kv_cache": False,
            "resid_pdrop": 0.1,
            "scale_attention_softmax_in_fp32": True,
            "scale_attn_weights": True,
            "summary_activation": None,
            "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True,
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "transformers_version": "4.28.1",
            "use_cache": True,
            "validate_runner_input": True,
            "vocab_size": 49152,
        },
    }
