"""Configs, one for each thing that a config can say, and the check of a run against the reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.model.reference import run_reference
from tests.model.small import assert_equal_to
from unweave.model.config import NORMS
from unweave.model.transformer import HookedTransformer

ROTARY = {"positional_embedding_type": "rotary"}
LOCAL = {"use_local_attn": True, "window_size": 3, "attn_types": ["local", "global"]}
YARN = {
    "use_yarn_rope": True,
    "yarn_factor": 4.0,
    "yarn_beta_fast": 0.5,
    "yarn_beta_slow": 0.1,
    "yarn_original_max_position_embeddings": 8,
}
LLAMA3 = {"use_NTK_by_parts_rope": True, "NTK_original_ctx_len": 30}
T5 = {"relative_attention_num_buckets": 6, "relative_attention_max_distance": 5}
MOE = {"num_experts": 4, "experts_per_token": 2, "gated_mlp": True, "act_fn": "silu", "d_mlp": 6}

FEATURES: dict[str, dict[str, Any]] = {
    "shortformer": {"positional_embedding_type": "shortformer"},
    "rotary": ROTARY,
    "rotary, part of a head": {**ROTARY, "d_head": 8, "n_heads": 2, "rotary_dim": 6, "rotary_base": 50},
    "rotary, adjacent": {**ROTARY, "rotary_adjacent_pairs": True},
    "rotary, linear": {**ROTARY, "rotary_scaling_factor": 3.0, **LOCAL},
    "rotary, llama3": {**ROTARY, "d_head": 8, "n_heads": 2, **LLAMA3, **LOCAL},
    "rotary, yarn": {**ROTARY, "d_head": 16, "n_heads": 2, **YARN, "yarn_attention_factor": 1.1},
    "rotary, yarn, fractions": {**ROTARY, "d_head": 16, "n_heads": 2, **YARN, "yarn_truncate": False},
    "rotary, yarn, global": {
        **ROTARY,
        "d_head": 16,
        "n_heads": 2,
        **YARN,
        **LOCAL,
        "yarn_global_attn_only": True,
    },
    "rotary, two bases": {**ROTARY, "d_head": 8, "n_heads": 2, **LOCAL, "rotary_base_local": 20},
    "alibi": {"positional_embedding_type": "alibi", "n_heads": 6},
    "alibi, nearest power": {
        "positional_embedding_type": "alibi",
        "n_heads": 6,
        "alibi_slopes": "nearest_power",
    },
    "alibi, scaled and rounded": {
        "positional_embedding_type": "alibi",
        "n_heads": 3,
        "alibi_slopes": "nearest_power",
        "alibi_scaled": True,
        "alibi_rounded": True,
        "scale_attn_by_inverse_layer_idx": True,
    },
    "rotary, longrope": {
        **ROTARY,
        "use_longrope": True,
        "longrope_short_factors": [1.5, 4.0],
        "longrope_long_factors": [2.0, 9.0],
        "longrope_original_ctx_len": 30,
        "longrope_attention_factor": 1.2,
    },
    "alibi, both ways": {"positional_embedding_type": "alibi", "attention_dir": "bidirectional"},
    "t5": {"positional_embedding_type": "relative_positional_bias", **T5},
    "t5, both ways": {
        "positional_embedding_type": "relative_positional_bias",
        **T5,
        "attention_dir": "bidirectional",
    },
    "grouped": {"n_heads": 4, "n_key_value_heads": 2},
    "one group, rotary": {**ROTARY, "n_heads": 3, "n_key_value_heads": 1},
    "window": LOCAL,
    "window, both ways": {**LOCAL, "attention_dir": "bidirectional"},
    "both ways": {"attention_dir": "bidirectional"},
    "soft caps": {"attn_scores_soft_cap": 1.5, "output_logits_soft_cap": 2.0},
    "unscaled": {"use_attn_scale": False},
    "scaled by layer": {"scale_attn_by_inverse_layer_idx": True},
    "qk norm": {"use_qk_norm": True, "eps": 0.1, "n_heads": 4, "n_key_value_heads": 2, **ROTARY},
    "qk norm, centred": {"use_qk_norm": True, "qk_norm_type": "LN", "n_heads": 4, "n_key_value_heads": 2},
    "qk norm, each head": {
        "use_qk_norm": True,
        "qk_norm_type": "LN",
        "qk_norm_scope": "each_head",
        "n_heads": 4,
        "n_key_value_heads": 2,
        **ROTARY,
    },
    "qk norm, all heads": {
        "use_qk_norm": True,
        "qk_norm_scope": "all_heads",
        "n_heads": 4,
        "n_key_value_heads": 2,
        **ROTARY,
    },
    "clipped": {"clip_qkv": 0.4, **ROTARY},
    "clipped after a norm": {"clip_qkv": 0.8, "use_qk_norm": True, "n_heads": 4, "n_key_value_heads": 2},
    "rotary, some layers": {**ROTARY, "rotary_layers": [False, True]},
    "rotary, linear everywhere": {
        **ROTARY,
        "rotary_scaling_factor": 3.0,
        **LOCAL,
        "rotary_scaling_local": True,
    },
    "rotary, llama3, global": {
        **ROTARY,
        "d_head": 8,
        "n_heads": 2,
        **LLAMA3,
        **LOCAL,
        "rotary_scaling_local": False,
    },
    "gate biases": {"gated_mlp": True, "act_fn": "silu", "gate_biases": True},
    "norms after": {"norm_position": "after", "normalization_type": "RMS"},
    "norms after, parallel": {"norm_position": "after", "parallel_attn_mlp": True},
    "norms after, attention only": {"norm_position": "after", "attn_only": True},
    "norms of the stream": {"norm_position": "stream", "positional_embedding_type": "standard"},
    "norms of the stream, both ways": {
        "norm_position": "stream",
        "attention_dir": "bidirectional",
        "residual_multiplier": 0.5,
    },
    "quick_gelu": {"act_fn": "quick_gelu"},
    "relu2": {"act_fn": "relu2"},
    "tanh": {"act_fn": "tanh"},
    "sigmoid": {"act_fn": "sigmoid"},
    "post norms": {"use_normalization_before_and_after": True},
    "post norms, parallel": {"use_normalization_before_and_after": True, "parallel_attn_mlp": True},
    "parallel": {"parallel_attn_mlp": True},
    "gated": {"gated_mlp": True, "act_fn": "silu"},
    "gelu_new": {"act_fn": "gelu_new"},
    "gelu_fast": {"act_fn": "gelu_fast"},
    "gelu_pytorch_tanh": {"act_fn": "gelu_pytorch_tanh"},
    "solu": {"act_fn": "solu"},
    "solu_ln": {"act_fn": "solu_ln"},
    "a function": {"act_fn": torch.sin},
    "experts": MOE,
    "experts, normalised": {**MOE, "norm_topk_prob": True, "num_experts": 3},
    "embedding norm": {"post_embedding_ln": True, "positional_embedding_type": "standard"},
    "multipliers": {"embedding_scale": 3.0, "residual_multiplier": 0.5, "logit_multiplier": 0.25},
    "tied": {"tie_word_embeddings": True},
    "token types": {"n_token_types": 2},
    "no biases": {"without_biases": ["b_Q", "b_K", "b_V", "b_O", "b_in", "b_out", "b_U"]},
    "no biases, grouped": {"without_biases": ["b_K", "b_V"], "n_heads": 4, "n_key_value_heads": 2},
}
FEATURES |= {
    f"{kind}, before and after": {"normalization_type": kind, "use_normalization_before_and_after": True}
    for kind in NORMS
    if kind not in (None, "LN")
}
if "RMS" in NORMS:
    FEATURES["final rms"] = {"final_rms": True}
    FEATURES["solu_ln without weights"] = {"act_fn": "solu_ln", "normalization_type": "RMS"}


def wanted_for(
    model: HookedTransformer, tokens: Tensor, attended: Tensor | None = None, types: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    return run_reference(model.cfg.to_dict(), model.state_dict(), tokens, attended, types)


def check_against_reference(
    model: HookedTransformer, tokens: Tensor, attended: Tensor | None = None, types: Tensor | None = None
) -> None:
    """Every hook and the logits, with every hook read, with none, and with the scores alone."""
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[model.cfg.torch_dtype]
    wanted_logits, wanted = wanted_for(model, tokens, attended, types)
    given = {"attention_mask": attended, "token_type_ids": types}
    logits, cache = model.run_with_cache(tokens, names_filter=list(model.hook_dict), **given)
    assert set(cache) == set(wanted) == set(model.hook_dict)
    for name in cache:
        assert_equal_to(tolerance, cache[name], wanted[name], name)
    assert_equal_to(tolerance, logits, wanted_logits, "every hook read")
    assert_equal_to(tolerance, model(tokens, **given), wanted_logits, "no hook read")
    scores = [name for name in model.hook_dict if name.endswith("attn_scores")]
    logits, _ = model.run_with_cache(tokens, names_filter=scores, **given)
    assert_equal_to(tolerance, logits, wanted_logits, "scores read")
