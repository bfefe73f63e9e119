"""OPT against transformers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, transformers
from unweave.core.errors import InputError
from unweave.pretrained.families import family_of

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "ffn_dim": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 32, "word_embed_proj_dim": 16}

# As it is on the hub.
OPT_125M = {
    "_name_or_path": "facebook/opt-125m",
    "activation_dropout": 0.0,
    "activation_function": "relu",
    "architectures": ["OPTForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "do_layer_norm_before": True,
    "dropout": 0.1,
    "eos_token_id": 2,
    "ffn_dim": 3072,
    "hidden_size": 768,
    "init_std": 0.02,
    "layerdrop": 0.0,
    "max_position_embeddings": 2048,
    "model_type": "opt",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "prefix": "</s>",
    "torch_dtype": "float16",
    "transformers_version": "4.21.0.dev0",
    "use_cache": True,
    "vocab_size": 50272,
    "word_embed_proj_dim": 768,
}


def config(**others: Any) -> Any:
    return transformers.OPTConfig(**{**SIZES, **others})


class TestOPT(FamilyTests):
    model = transformers.OPTForCausalLM
    configs = {  # noqa: RUF012
        "OPT": lambda: config(),
        "norms after, as opt-350m": lambda: config(do_layer_norm_before=False),
        "Galactica: another activation, no biases": lambda: config(
            activation_function="gelu", enable_bias=False
        ),
        "norms without weights, not tied": lambda: config(
            layer_norm_elementwise_affine=False, tie_word_embeddings=False
        ),
    }
    hub = {  # noqa: RUF012
        "opt-125m": OPT_125M,
        "opt-6.7b": {
            **OPT_125M,
            "_name_or_path": "facebook/opt-6.7b",
            "_remove_final_layer_norm": False,
            "ffn_dim": 16384,
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "word_embed_proj_dim": 4096,
        },
    }


def test_narrow_embeddings_are_refused_by_name():
    """opt-350m projects them into the stream."""
    narrow = {**OPT_125M, "hidden_size": 1024, "do_layer_norm_before": False, "word_embed_proj_dim": 512}
    with pytest.raises(InputError, match=r"word_embed_proj_dim=512 \(only hidden_size=1024 is honoured\)"):
        family_of(narrow).read_config(narrow)


def test_a_missing_final_norm_is_refused_by_name():
    with pytest.raises(InputError, match=r"_remove_final_layer_norm=True \(only False is honoured\)"):
        family_of(OPT_125M).read_config({**OPT_125M, "_remove_final_layer_norm": True})
