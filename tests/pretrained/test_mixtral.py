"""Mixtral against transformers: experts and their router, in files and in memory."""

from __future__ import annotations

from typing import Any

import torch

from tests.pretrained.family import FamilyTests, Tiny, assert_close, transformers

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
SIZES |= {"num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}


def config(**others: Any) -> Any:
    return transformers.MixtralConfig(**{**SIZES, **others})


MIXTRAL_8X7B = {
    "architectures": ["MixtralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mixtral",
    "num_attention_heads": 32,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "output_router_logits": False,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.02,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}


class TestMixtral(FamilyTests):
    model = transformers.MixtralForCausalLM
    configs = {  # noqa: RUF012
        "two of four": lambda: config(),
        "one of three, tied, every head its own keys": lambda: config(
            num_local_experts=3, num_experts_per_tok=1, tie_word_embeddings=True, num_key_value_heads=4
        ),
        "all of three, a window, wide heads": lambda: config(
            num_local_experts=3, num_experts_per_tok=3, sliding_window=4, head_dim=8
        ),
    }
    hub = {  # noqa: RUF012
        "Mixtral-8x7B-v0.1": MIXTRAL_8X7B,
        "Mixtral-8x22B-Instruct-v0.1": {
            **MIXTRAL_8X7B,
            "hidden_size": 6144,
            "intermediate_size": 16384,
            "max_position_embeddings": 65536,
            "num_attention_heads": 48,
            "num_hidden_layers": 56,
            "router_aux_loss_coef": 0.001,
            "router_jitter_noise": 0.0,
            "transformers_version": "4.38.0",
            "vocab_size": 32768,
        },
    }

    def test_tokens_go_to_the_same_experts(self, tiny: Tiny):
        tokens = tiny.tokens()
        with torch.no_grad():
            wanted = tiny.theirs(tokens, output_router_logits=True).router_logits
        _, cache = tiny.ours.run_with_cache(tokens)
        for layer, logits in enumerate(wanted):
            odds = logits.softmax(-1).view(*tokens.shape, -1)
            assert_close(cache[f"blocks.{layer}.mlp.hook_expert_weights"], odds)
            chosen = odds.topk(tiny.ours.cfg.experts_per_token or 0, -1).indices
            assert torch.equal(cache[f"blocks.{layer}.mlp.hook_expert_indices"], chosen)
