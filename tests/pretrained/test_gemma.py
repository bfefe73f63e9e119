"""Gemma 1 against transformers: scaled embeddings, and norms whose weights are stored less 1."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, transformers
from unweave.core.errors import InputError
from unweave.pretrained.families.gemma import FAMILY

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 1}
SIZES |= {"num_key_value_heads": 1, "head_dim": 8}


def config(**others: Any) -> Any:
    return transformers.GemmaConfig(**{**SIZES, **others})


GEMMA_2B = {
    "architectures": ["GemmaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "head_dim": 256,
    "hidden_act": "gelu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 16384,
    "max_position_embeddings": 8192,
    "model_type": "gemma",
    "num_attention_heads": 8,
    "num_hidden_layers": 18,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.38.0.dev0",
    "use_cache": True,
    "vocab_size": 256000,
}


class TestGemma(FamilyTests):
    model = transformers.GemmaForCausalLM
    configs = {  # noqa: RUF012
        "2b: one head's keys for all": lambda: config(),
        "7b: every head its own, untied": lambda: config(num_key_value_heads=4, tie_word_embeddings=False),
        "biases, groups, another activation": lambda: config(
            attention_bias=True, num_key_value_heads=2, hidden_act="silu", rms_norm_eps=1e-3
        ),
        "linear scaling": lambda: config(
            rope_parameters={"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}, head_dim=4
        ),
    }
    hub = {  # noqa: RUF012
        "gemma-2b, the first file": GEMMA_2B,
        "gemma-7b": {
            **GEMMA_2B,
            "hidden_activation": None,
            "hidden_size": 3072,
            "intermediate_size": 24576,
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
            "num_key_value_heads": 16,
        },
        "gemma-1.1-2b-it": {
            **GEMMA_2B,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "transformers_version": "4.40.0.dev0",
        },
    }


def test_two_activations_that_disagree_are_refused():
    with pytest.raises(InputError, match=r"hidden_activation='relu' \(only 'gelu_pytorch_tanh' or None"):
        FAMILY.read_config({**GEMMA_2B, "hidden_activation": "relu"})


def test_attention_to_later_tokens_is_refused():
    with pytest.raises(
        InputError, match=r"use_bidirectional_attention=True \(only False or None is honoured"
    ):
        FAMILY.read_config({**GEMMA_2B, "use_bidirectional_attention": True})
