"""Mistral against transformers: its window, beside what it shares with LLaMA."""

from __future__ import annotations

from typing import Any

import torch

from tests.pretrained.family import FamilyTests, Tiny, transformers

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
SIZES |= {"num_key_value_heads": 2}


def config(**others: Any) -> Any:
    return transformers.MistralConfig(**{**SIZES, **others})


class TestMistral(FamilyTests):
    model = transformers.MistralForCausalLM
    configs = {  # noqa: RUF012
        "a window of 4": lambda: config(sliding_window=4),
        "no window, wide heads": lambda: config(sliding_window=None, head_dim=8),
        # Of 1, transformers' own cache keeps everything: generation sees more than a run does.
        "a window of 2, tied": lambda: config(
            sliding_window=2, tie_word_embeddings=True, num_key_value_heads=4
        ),
    }
    hub = {  # noqa: RUF012
        "Mistral-7B-v0.1": {
            "architectures": ["MistralForCausalLM"],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 4096,
            "initializer_range": 0.02,
            "intermediate_size": 14336,
            "max_position_embeddings": 32768,
            "model_type": "mistral",
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "sliding_window": 4096,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.34.0.dev0",
            "use_cache": True,
            "vocab_size": 32000,
        },
        "Mistral-7B-Instruct-v0.3": {
            "architectures": ["MistralForCausalLM"],
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": 4096,
            "initializer_range": 0.02,
            "intermediate_size": 14336,
            "max_position_embeddings": 32768,
            "model_type": "mistral",
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-05,
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.42.0.dev0",
            "use_cache": True,
            "vocab_size": 32768,
        },
    }

    def test_the_pattern_is_the_window_s(self, tiny: Tiny):
        window = tiny.config["sliding_window"] or 64
        _, cache = tiny.ours.run_with_cache(tiny.tokens(), names_filter="blocks.1.attn.hook_pattern")
        pattern = cache["pattern", 1]
        back = torch.arange(11)[:, None] - torch.arange(11)
        seen = (back >= 0) & (back < window)
        assert ((pattern > 0) == seen).all()
