"""Gemma 3's text models against transformers: two kinds of layers, each with its window and rotary base."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, Tiny, compare_patterns, transformers
from unweave.core.errors import InputError
from unweave.pretrained.families.gemma3 import FAMILY

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 1}
SIZES |= {"num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]


def config(**others: Any) -> Any:
    return transformers.Gemma3TextConfig(**{**SIZES, **others})


def bases(of_all: float, of_local: float, **scaling: Any) -> dict[str, Any]:
    return {
        "full_attention": {"rope_type": "default", "rope_theta": of_all, **scaling},
        "sliding_attention": {"rope_type": "default", "rope_theta": of_local},
    }


GEMMA_3_1B = {
    "architectures": ["Gemma3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": None,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": [1, 106],
    "final_logit_softcapping": None,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 1152,
    "initializer_range": 0.02,
    "intermediate_size": 6912,
    "max_position_embeddings": 32768,
    "model_type": "gemma3_text",
    "num_attention_heads": 4,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0",
    "use_cache": True,
    "vocab_size": 262144,
}


class TestGemma3(FamilyTests):
    model = transformers.Gemma3ForCausalLM
    configs = {  # noqa: RUF012
        "two bases": lambda: config(layer_types=MIXED, rope_parameters=bases(1000.0, 10.0)),
        "scaled where there is no window, as from 4b on": lambda: config(
            layer_types=MIXED,
            rope_parameters=bases(1000.0, 10.0, rope_type="linear", factor=8.0),
            num_key_value_heads=1,
            query_pre_attn_scalar=24,
        ),
        "YaRN where there is no window, biases, untied": lambda: config(
            layer_types=MIXED,
            rope_parameters=bases(
                1000.0, 10.0, rope_type="yarn", factor=4.0, original_max_position_embeddings=16
            ),
            attention_bias=True,
            tie_word_embeddings=False,
        ),
        "Llama 3's scaling, capped logits": lambda: config(
            layer_types=MIXED,
            rope_parameters=bases(
                1000.0,
                10.0,
                rope_type="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            ),
            final_logit_softcapping=2.0,
            num_key_value_heads=4,
        ),
        "windows in all layers but each second": lambda: config(sliding_window_pattern=2),
        "windows in all layers": lambda: config(rope_parameters=bases(1000.0, 10.0)),
    }
    hub = {  # noqa: RUF012
        "gemma-3-1b-it": GEMMA_3_1B,
        "gemma-3-270m": {
            **{name: value for name, value in GEMMA_3_1B.items() if name != "sliding_window_pattern"},
            "_sliding_window_pattern": 6,
            "hidden_size": 640,
            "intermediate_size": 2048,
            "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 3,
            "num_hidden_layers": 18,
            "rope_local_base_freq": 10000.0,
            "rope_theta": 1000000.0,
            "transformers_version": "4.55.0.dev0",
            "use_bidirectional_attention": False,
        },
        "the text part of gemma-3-4b-pt, as fine-tuning tools write it": {
            "architectures": ["Gemma3ForCausalLM"],
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
    }

    def test_each_layer_shows_the_pattern_that_was_used(self, tiny: Tiny):
        compare_patterns(tiny, window=4)


def test_windows_are_in_all_layers_but_each_sixth():
    cfg = FAMILY.read_config(GEMMA_3_1B)
    assert [layer for layer in range(26) if not cfg.layer_is_local(layer)] == [5, 11, 17, 23]
    assert (cfg.rotary_base, cfg.rotary_base_local, cfg.window_size) == (1_000_000, 10_000, 512)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping=50.0 (only None is honoured)"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention=True (only False or None"),
        ({"_sliding_window_pattern": 4}, "_sliding_window_pattern=4 (only 6 is honoured)"),
        ({"layer_types": ["full_attention"] * 26}, "sliding_window_pattern=6 (layer_types says otherwise)"),
        (
            {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
            "rope_parameters.sliding_attention.rope_type='linear' (only 'default' is honoured)",
        ),
    ],
)
def test_what_is_refused(changed: dict[str, Any], told: str):
    with pytest.raises(InputError) as error:
        FAMILY.read_config({**GEMMA_3_1B, **changed})
    assert told in str(error.value)
