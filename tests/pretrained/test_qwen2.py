"""Qwen2 against transformers: biases, and windows in the later layers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, Tiny, compare_patterns, transformers
from unweave.core.errors import InputError
from unweave.pretrained.families.qwen2 import FAMILY

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
SIZES |= {"num_key_value_heads": 2}
WINDOW = {"use_sliding_window": True, "sliding_window": 4}


def config(**others: Any) -> Any:
    return transformers.Qwen2Config(**{**SIZES, **others})


class TestQwen2(FamilyTests):
    model = transformers.Qwen2ForCausalLM
    configs = {  # noqa: RUF012
        "no windows, tied": lambda: config(tie_word_embeddings=True),
        "windows from the second layer on": lambda: config(**WINDOW, max_window_layers=1),
        "windows by layer, every head its own keys": lambda: config(
            **WINDOW,
            num_key_value_heads=4,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        "YaRN, as for long texts": lambda: config(
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 1000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        ),
    }
    # Each acts only beside the others: test_windows_are_where_transformers_has_them varies them together.
    fixed = ("use_sliding_window", "sliding_window", "max_window_layers")
    hub = {  # noqa: RUF012
        "Qwen1.5-0.5B": {
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151643,
            "hidden_act": "silu",
            "hidden_size": 1024,
            "initializer_range": 0.02,
            "intermediate_size": 2816,
            "max_position_embeddings": 32768,
            "max_window_layers": 21,
            "model_type": "qwen2",
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "num_key_value_heads": 16,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0,
            "sliding_window": 32768,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.37.0",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
        "Qwen2-7B": {
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151643,
            "hidden_act": "silu",
            "hidden_size": 3584,
            "initializer_range": 0.02,
            "intermediate_size": 18944,
            "max_position_embeddings": 131072,
            "max_window_layers": 28,
            "model_type": "qwen2",
            "num_attention_heads": 28,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0,
            "sliding_window": 131072,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.37.2",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 152064,
        },
        "Qwen2.5-0.5B-Instruct": {
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "hidden_act": "silu",
            "hidden_size": 896,
            "initializer_range": 0.02,
            "intermediate_size": 4864,
            "max_position_embeddings": 32768,
            "max_window_layers": 21,
            "model_type": "qwen2",
            "num_attention_heads": 14,
            "num_hidden_layers": 24,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0,
            "sliding_window": 32768,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.43.1",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 151936,
        },
        "Qwen2.5-7B with the README's YaRN": {
            "architectures": ["Qwen2ForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 151643,
            "eos_token_id": 151643,
            "hidden_act": "silu",
            "hidden_size": 3584,
            "initializer_range": 0.02,
            "intermediate_size": 18944,
            "max_position_embeddings": 131072,
            "max_window_layers": 28,
            "model_type": "qwen2",
            "num_attention_heads": 28,
            "num_hidden_layers": 28,
            "num_key_value_heads": 4,
            "rms_norm_eps": 1e-06,
            "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"},
            "rope_theta": 1000000.0,
            "sliding_window": 131072,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.40.1",
            "use_cache": True,
            "use_mrope": False,
            "use_sliding_window": False,
            "vocab_size": 152064,
        },
    }

    def test_each_layer_shows_the_pattern_that_was_used(self, tiny: Tiny):
        compare_patterns(tiny, window=4)


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("types", [None, ["full_attention", "sliding_attention", "full_attention"]])
def test_windows_are_where_transformers_has_them(on: bool, types: list[str] | None):
    values = {**SIZES, "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": on}
    values |= {} if types is None else {"layer_types": types}
    for window, first in itertools.product([None, 5], [0, 2, 28]):
        asked = {**values, "sliding_window": window, "max_window_layers": first}
        theirs = transformers.Qwen2Config.from_dict(asked)
        if theirs.sliding_window is None and "sliding_attention" in theirs.layer_types:
            with pytest.raises(InputError, match="use_sliding_window and sliding_window give no window"):
                FAMILY.read_config(asked)
            continue
        ours = FAMILY.read_config(asked)
        local = [kind == "sliding_attention" for kind in theirs.layer_types]
        assert [ours.layer_is_local(layer) for layer in range(3)] == local
        assert ours.window_size == (theirs.sliding_window if any(local) else None)
