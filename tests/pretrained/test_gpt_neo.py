"""GPT-Neo against transformers."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 16, "num_heads": 4, "num_layers": 4, "max_position_embeddings": 32}
SIZES |= {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0}


def config(types: Any = ((("global", "local"), 2),), **others: Any) -> Any:
    listed = [[list(pattern), times] for pattern, times in types]
    return transformers.GPTNeoConfig(**{**SIZES, "attention_types": listed, "window_size": 4, **others})


class TestGPTNeo(FamilyTests):
    model = transformers.GPTNeoForCausalLM
    # The two say one thing, and any change to one of them alone is refused or another model.
    other_defaults: ClassVar = ("attention_types",)
    configs = {  # noqa: RUF012
        "global and local in turn": lambda: config(),
        "all local, narrow, untied": lambda: config(
            ((("local",), 4),), intermediate_size=24, tie_word_embeddings=False
        ),
        "nearly all global, relu": lambda: config(
            ((("global",), 3), (("local",), 1)), activation_function="relu", layer_norm_epsilon=1e-3
        ),
        "two patterns": lambda: config(((("local", "global"), 1), (("local",), 2)), window_size=3),
    }
    hub = {  # noqa: RUF012
        "gpt-neo-125m": {
            "activation_function": "gelu_new",
            "architectures": ["GPTNeoForCausalLM"],
            "attention_dropout": 0,
            "attention_layers": ["global", "local"] * 6,
            "attention_types": [[["global", "local"], 6]],
            "bos_token_id": 50256,
            "embed_dropout": 0,
            "eos_token_id": 50256,
            "gradient_checkpointing": False,
            "hidden_size": 768,
            "initializer_range": 0.02,
            "intermediate_size": None,
            "layer_norm_epsilon": 1e-05,
            "max_position_embeddings": 2048,
            "model_type": "gpt_neo",
            "num_heads": 12,
            "num_layers": 12,
            "resid_dropout": 0,
            "summary_activation": None,
            "summary_first_dropout": 0.1,
            "summary_proj_to_labels": True,
            "summary_type": "cls_index",
            "summary_use_proj": True,
            "torch_dtype": "float32",
            "transformers_version": "4.20.0.dev0",
            "use_cache": True,
            "vocab_size": 50257,
            "window_size": 256,
        },
    }
