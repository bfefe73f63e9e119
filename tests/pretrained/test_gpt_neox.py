"""GPT-NeoX and Pythia against transformers."""

from __future__ import annotations

from typing import Any

from tests.pretrained.family import FamilyTests, transformers

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.GPTNeoXConfig(**{**SIZES, **others})


class TestGPTNeoX(FamilyTests):
    model = transformers.GPTNeoXForCausalLM
    configs = {  # noqa: RUF012
        "Pythia: parallel, a quarter rotated": lambda: config(),
        "one after the other, all rotated, tied": lambda: config(
            use_parallel_residual=False,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 1.0},
        ),
        "no attention biases, scaled positions": lambda: config(
            attention_bias=False,
            hidden_act="gelu_new",
            layer_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "linear",
                "factor": 2.0,
                "rope_theta": 100.0,
                "partial_rotary_factor": 0.5,
            },
        ),
    }
    hub = {  # noqa: RUF012
        "pythia-70m": {
            "architectures": ["GPTNeoXForCausalLM"],
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "gelu",
            "hidden_size": 512,
            "initializer_range": 0.02,
            "intermediate_size": 2048,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 2048,
            "model_type": "gpt_neox",
            "num_attention_heads": 8,
            "num_hidden_layers": 6,
            "rotary_emb_base": 10000,
            "rotary_pct": 0.25,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.24.0",
            "use_cache": True,
            "use_parallel_residual": True,
            "vocab_size": 50304,
        },
        "gpt-neox-20b": {
            "architectures": ["GPTNeoXForCausalLM"],
            "attention_probs_dropout_prob": 0,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "gelu_fast",
            "hidden_dropout_prob": 0,
            "hidden_size": 6144,
            "initializer_range": 0.02,
            "intermediate_size": 24576,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 2048,
            "model_type": "gpt_neox",
            "num_attention_heads": 64,
            "num_hidden_layers": 44,
            "rotary_emb_base": 10000,
            "rotary_pct": 0.25,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.19.0.dev0",
            "use_cache": True,
            "vocab_size": 50432,
        },
    }
