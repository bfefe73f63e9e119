"""SmolLM3 against transformers."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tests.pretrained.family import FamilyTests, transformers
from unweave.pretrained.families import family_of

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 4, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.SmolLM3Config(**{**SIZES, **others})


class TestSmolLM3(FamilyTests):
    model = transformers.SmolLM3ForCausalLM
    # no_rope_layers, which is always written, takes the place of the first; the second counts only where
    # use_sliding_window is true. Tests of their own are below.
    fixed: ClassVar = ("no_rope_layer_interval", "sliding_window")
    configs = {  # noqa: RUF012
        "every fourth layer not rotated": lambda: config(num_key_value_heads=2),
        "a list of layers, untied, biases": lambda: config(
            no_rope_layers=[0, 1, 1, 0], tie_word_embeddings=False, attention_bias=True, mlp_bias=True
        ),
        "windows where nothing is rotated": lambda: config(
            no_rope_layers=[1, 0, 1, 0], use_sliding_window=True, sliding_window=3, num_key_value_heads=1
        ),
        "all rotated, stretched": lambda: config(
            no_rope_layer_interval=8,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 100.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            },
        ),
    }
    hub = {  # noqa: RUF012
        "SmolLM3-3B": {
            "architectures": ["SmolLM3ForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": None,
            "eos_token_id": 128012,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "initializer_range": 0.02,
            "intermediate_size": 11008,
            "layer_types": ["full_attention"] * 36,
            "max_position_embeddings": 65536,
            "max_window_layers": 28,
            "mlp_bias": False,
            "model_type": "smollm3",
            "no_rope_layer_interval": 4,
            "no_rope_layers": [1, 1, 1, 0] * 9,
            "num_attention_heads": 16,
            "num_hidden_layers": 36,
            "num_key_value_heads": 4,
            "pad_token_id": 128004,
            "pretraining_tp": 2,
            "rms_norm_eps": 1e-06,
            "rope_scaling": None,
            "rope_theta": 5000000.0,
            "sliding_window": None,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.54.0.dev0",
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": 128256,
        },
    }

    def test_every_nth_layer_where_there_is_no_list(self):
        values = {**self.hub["SmolLM3-3B"], "no_rope_layer_interval": 3}
        del values["no_rope_layers"]
        assert family_of(values).read_config(values).rotary_layers == (True, True, False) * 12

    def test_a_window_counts_where_it_is_used(self):
        values = json.loads(
            json.dumps(self.configs["windows where nothing is rotated"]().to_dict(), default=str)
        )
        values["architectures"] = ["SmolLM3ForCausalLM"]
        family = family_of(values)
        assert family.read_config(values).window_size == 3
        assert family.read_config({**values, "sliding_window": 5}).window_size == 5
        assert family.read_config({**values, "use_sliding_window": False}).window_size is None
