"""Phi-3 against transformers: tensors that hold several weights, LongRoPE on either side of its length, windows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pretrained.family import FamilyTests, Tiny, assert_close, transformers
from unweave.core.errors import InputError
from unweave.model.kv_cache import KeyValueCache
from unweave.pretrained.families.phi3 import FAMILY

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 64, "original_max_position_embeddings": 64}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def config(**others: Any) -> Any:
    return transformers.Phi3Config(**{**SIZES, **others})


def longrope(original: int, pairs: int = 4, **others: Any) -> dict[str, Any]:
    """LongRoPE for a model that was trained on so many positions."""
    factors = {"short_factor": [1.0, 1.5, 2.0, 3.0][:pairs], "long_factor": [1.0, 4.0, 8.0, 20.0][:pairs]}
    table = {"rope_type": "longrope", "rope_theta": 100.0, **factors, **others}
    return {"rope_parameters": table, "original_max_position_embeddings": original}


PHI_3_MINI_4K = {
    "_name_or_path": "Phi-3-mini-4k-instruct",
    "architectures": ["Phi3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_phi3.Phi3Config",
        "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
    },
    "bos_token_id": 1,
    "embd_pdrop": 0.0,
    "eos_token_id": 32000,
    "hidden_act": "silu",
    "hidden_size": 3072,
    "initializer_range": 0.02,
    "intermediate_size": 8192,
    "max_position_embeddings": 4096,
    "model_type": "phi3",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "original_max_position_embeddings": 4096,
    "pad_token_id": 32000,
    "resid_pdrop": 0.0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": 2047,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.2",
    "use_cache": True,
    "vocab_size": 32064,
}
FACTORS = {
    "long_factor": [1 + number for number in range(48)],
    "short_factor": [1 + number / 48 for number in range(48)],
}


class TestPhi3(FamilyTests):
    model = transformers.Phi3ForCausalLM
    configs = {  # noqa: RUF012
        "a window, every head its own keys": lambda: config(sliding_window=4),
        "groups, tied, three quarters rotated": lambda: config(
            num_key_value_heads=2,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.75},
        ),
        "LongRoPE, within its length": lambda: config(**longrope(32), num_key_value_heads=1),
        # Runs of 11 tokens have the long factors; generation goes over to them on its way.
        "LongRoPE, beyond its length": lambda: config(**longrope(8), num_key_value_heads=2),
        "LongRoPE of half a head, with a magnitude of its own": lambda: config(
            **longrope(8, pairs=2, partial_rotary_factor=0.5, attention_factor=1.3), sliding_window=5
        ),
    }
    # Without LongRoPE nothing asks for it: the other configs vary it.
    fixed = ("original_max_position_embeddings",)
    hub = {  # noqa: RUF012
        "Phi-3-mini-4k-instruct": PHI_3_MINI_4K,
        "Phi-3.5-mini-instruct": {
            **PHI_3_MINI_4K,
            "max_position_embeddings": 131072,
            "rope_scaling": {**FACTORS, "type": "longrope"},
            "sliding_window": 262144,
            "transformers_version": "4.43.3",
        },
        "phi-4": {
            **PHI_3_MINI_4K,
            "bos_token_id": 100257,
            "eos_token_id": 100265,
            "hidden_size": 5120,
            "intermediate_size": 17920,
            "max_position_embeddings": 16384,
            "num_attention_heads": 40,
            "num_hidden_layers": 40,
            "num_key_value_heads": 10,
            "original_max_position_embeddings": 16384,
            "pad_token_id": 100349,
            "rope_theta": 250000,
            "sliding_window": None,
            "transformers_version": "4.47.0",
            "vocab_size": 100352,
        },
        "Phi-4-mini-instruct": {
            **PHI_3_MINI_4K,
            "full_attn_mod": 1,
            "interpolate_factor": 1,
            "lm_head_bias": False,
            "max_position_embeddings": 131072,
            "mlp_bias": False,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "partial_rotary_factor": 0.75,
            "rope_scaling": {**FACTORS, "type": "longrope"},
            "sliding_window": 262144,
            "tie_word_embeddings": True,
            "transformers_version": "4.45.0",
            "vocab_size": 200064,
        },
    }

    def test_a_cache_is_not_continued_over_the_length(self, tiny: Tiny):
        """Either it gives what the whole run gives, or it is refused."""
        tokens = tiny.tokens()
        whole = tiny.ours(tokens)
        cache = KeyValueCache.init_cache(tiny.ours.cfg, batch_size=len(tokens))
        tiny.ours(tokens[:, :7], past_kv_cache=cache)
        if tiny.ours.cfg.use_longrope and tiny.ours.cfg.longrope_original_ctx_len == 8:
            with pytest.raises(InputError, match="on one side of longrope_original_ctx_len=8"):
                tiny.ours(tokens[:, 7:], past_kv_cache=cache)
        else:
            assert_close(tiny.ours(tokens[:, 7:], past_kv_cache=cache), whole[:, 7:])


def test_longrope_s_magnitude_follows_from_the_lengths():
    cfg = FAMILY.read_config(TestPhi3.hub["Phi-3.5-mini-instruct"])
    # sqrt(1 + ln(131072 / 4096) / ln(4096)) = sqrt(1 + 5 / 12)
    assert cfg.longrope_attention_factor == pytest.approx((17 / 12) ** 0.5)
    assert (cfg.longrope_original_ctx_len, cfg.n_ctx) == (4096, 131072)


def test_what_the_first_code_read_otherwise_is_refused():
    with pytest.raises(InputError, match=r"full_attn_mod=2 \(only 1 or None is honoured\)"):
        FAMILY.read_config({**PHI_3_MINI_4K, "full_attn_mod": 2})


def test_factors_that_are_no_list_of_numbers_are_refused():
    table = {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": "twice"}
    with pytest.raises(InputError, match="a list of numbers for long_factor in"):
        FAMILY.read_config({**PHI_3_MINI_4K, "rope_scaling": table})


def test_su_was_longrope_s_name():
    """transformers 5.23 means to read it so too, and raises a KeyError."""
    today: dict[str, Any] = TestPhi3.hub["Phi-3.5-mini-instruct"]
    first = {**today, "rope_scaling": {**FACTORS, "type": "su"}}
    assert FAMILY.read_config(first) == FAMILY.read_config(today)
