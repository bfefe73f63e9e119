"""Gemma 2 against transformers: windows in every other layer, soft caps, norms before and after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, Tiny, compare_patterns, transformers
from unweave.core.errors import InputError
from unweave.pretrained.families.gemma2 import FAMILY

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 1}
SIZES |= {"num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4}


def config(**others: Any) -> Any:
    return transformers.Gemma2Config(**{**SIZES, **others})


GEMMA_2_2B = {
    "architectures": ["Gemma2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304,
    "initializer_range": 0.02,
    "intermediate_size": 9216,
    "max_position_embeddings": 8192,
    "model_type": "gemma2",
    "num_attention_heads": 8,
    "num_hidden_layers": 26,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "torch_dtype": "float32",
    "transformers_version": "4.42.4",
    "use_cache": True,
    "vocab_size": 256000,
}


class TestGemma2(FamilyTests):
    model = transformers.Gemma2ForCausalLM
    configs = {  # noqa: RUF012
        # Caps so low that they bend most scores and logits.
        "windows and caps": lambda: config(attn_logit_softcapping=1.0, final_logit_softcapping=2.0),
        "no caps, windows by layer, another scale": lambda: config(
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            layer_types=["full_attention", "sliding_attention", "sliding_attention"],
            query_pre_attn_scalar=24,
        ),
        "no windows, untied, biases, every head its own keys": lambda: config(
            layer_types=["full_attention"] * 3,
            tie_word_embeddings=False,
            attention_bias=True,
            num_key_value_heads=4,
            hidden_activation="silu",
        ),
    }
    # Without layers that have windows it changes nothing: the other two vary it.
    fixed = ("sliding_window",)
    hub = {  # noqa: RUF012
        "gemma-2-2b": GEMMA_2_2B,
        "gemma-2-9b": {
            **GEMMA_2_2B,
            "hidden_size": 3584,
            "intermediate_size": 14336,
            "num_attention_heads": 16,
            "num_hidden_layers": 42,
            "num_key_value_heads": 8,
            "sliding_window_size": 4096,
            "transformers_version": "4.42.0.dev0",
        },
        "gemma-2-27b-it": {
            **GEMMA_2_2B,
            "_attn_implementation": "eager",
            "hidden_size": 4608,
            "intermediate_size": 36864,
            "num_attention_heads": 32,
            "head_dim": 128,
            "num_hidden_layers": 46,
            "num_key_value_heads": 16,
            "query_pre_attn_scalar": 144,
            "sliding_window_size": 4096,
            "torch_dtype": "bfloat16",
        },
    }

    def test_each_layer_shows_the_pattern_that_was_used(self, tiny: Tiny):
        compare_patterns(tiny, window=4)


def test_windows_are_every_other_layer_s():
    cfg = FAMILY.read_config(GEMMA_2_2B)
    assert [cfg.layer_is_local(layer) for layer in range(4)] == [True, False, True, False]
    assert cfg.window_size == 4096


def test_values_that_contradict_each_other_are_refused():
    wrong = {"sliding_window_size": 512, "hidden_act": "relu"}
    with pytest.raises(InputError) as error:
        FAMILY.read_config({**GEMMA_2_2B, **wrong})
    assert "sliding_window_size=512 (only 4096 or None is honoured)" in str(error.value)
    assert "hidden_act='relu' (hidden_activation says 'gelu_pytorch_tanh')" in str(error.value)
    with pytest.raises(InputError, match="layers of type sliding_attention need a window"):
        FAMILY.read_config({**GEMMA_2_2B, "sliding_window": None})
