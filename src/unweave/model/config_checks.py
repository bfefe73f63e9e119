"""What a HookedTransformerConfig refuses, one function a concern.

Each takes the config whole (typed Any: the config imports this) and raises InputError.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from unweave.core.errors import InputError
from unweave.model.activations import ACTIVATIONS

BIASES = ("b_Q", "b_K", "b_V", "b_O", "b_in", "b_out", "b_U")
SWITCHES = ("use_attn_result", "use_split_qkv_input", "use_attn_in", "use_hook_mlp_in")
FLAGS = (
    *SWITCHES,
    "attn_only",
    "gated_mlp",
    "gate_biases",
    "parallel_attn_mlp",
    "use_attn_scale",
    "scale_attn_by_inverse_layer_idx",
    "use_local_attn",
    "ungroup_grouped_query_attention",
    "use_qk_norm",
    "use_normalization_before_and_after",
    "final_rms",
    "post_embedding_ln",
    "tie_word_embeddings",
    "rotary_adjacent_pairs",
    "use_NTK_by_parts_rope",
    "use_yarn_rope",
    "use_longrope",
    "alibi_scaled",
    "alibi_rounded",
    "yarn_truncate",
    "yarn_global_attn_only",
    "norm_topk_prob",
    "default_prepend_bos",
)


def check_sizes(cfg: Any) -> None:
    """Whole numbers, and heads that can be grouped."""
    for name in ("d_model", "n_ctx", "d_head", "n_heads"):
        require_count(name, getattr(cfg, name), 1)
    for name in ("d_vocab", "d_vocab_out"):
        # Until a model is built, d_vocab may be left to its tokenizer.
        if cfg.d_vocab != -1 or getattr(cfg, name) != -1:
            require_count(name, getattr(cfg, name), 1)
    require_count("n_layers", cfg.n_layers, 0)
    require_count("n_token_types", cfg.n_token_types, 0)
    for name in FLAGS:
        require_choice(name, getattr(cfg, name), (True, False))
    if cfg.n_key_value_heads is not None:
        require_count("n_key_value_heads", cfg.n_key_value_heads, 1)
        if cfg.n_heads % cfg.n_key_value_heads:
            refuse(f"n_key_value_heads to divide n_heads={cfg.n_heads}", cfg.n_key_value_heads)
    if cfg.tie_word_embeddings and cfg.d_vocab_out != cfg.d_vocab:
        refuse(f"d_vocab_out={cfg.d_vocab} with tie_word_embeddings", cfg.d_vocab_out)
    unknown = [name for name in cfg.without_biases if name not in BIASES]
    if unknown:
        refuse(f"names from {', '.join(BIASES)} in without_biases", unknown[0])


def check_numbers(cfg: Any) -> None:
    """Scales above zero, caps above zero or off, multipliers finite."""
    scales = ["eps", "initializer_range", "rotary_base", "rotary_scaling_factor"]
    scales += ["NTK_by_parts_factor", "NTK_by_parts_low_freq_factor", "NTK_by_parts_high_freq_factor"]
    scales += ["NTK_original_ctx_len", "yarn_factor", "yarn_attention_factor"]
    scales += ["yarn_beta_fast", "yarn_beta_slow", "yarn_original_max_position_embeddings"]
    scales += ["longrope_original_ctx_len", "longrope_attention_factor"]
    scales += ["attn_scale"] * bool(cfg.use_attn_scale)
    scales += ["rotary_base_local"] * (cfg.rotary_base_local is not None)
    scales += ["clip_qkv"] * (cfg.clip_qkv is not None)
    for name in scales:
        require_number(name, getattr(cfg, name), "a finite number above 0", lambda value: value > 0)
    for name in ("attn_scores_soft_cap", "output_logits_soft_cap"):
        wanted = "a finite number above 0, or -1.0 for none,"
        require_number(name, getattr(cfg, name), wanted, lambda value: value == -1.0 or value > 0)
    for name in ("embedding_scale", "residual_multiplier", "logit_multiplier"):
        require_number(name, getattr(cfg, name), "a finite number other than 0", lambda value: value != 0)
    if cfg.seed is not None and (not isinstance(cfg.seed, int) or isinstance(cfg.seed, bool)):
        raise InputError(wanted="a whole number or None for seed", got=repr(cfg.seed), remedy="set seed")


def check_norms(cfg: Any) -> None:
    """Norms of queries and keys that are known, and one place for those of the residual stream."""
    require_choice("qk_norm_type", cfg.qk_norm_type, ("RMS", "LN"))
    require_choice("qk_norm_scope", cfg.qk_norm_scope, ("head", "each_head", "all_heads"))
    if cfg.norm_position == "before":
        return
    refused = ["use_normalization_before_and_after"]
    # A stream that is normed by turns has no parallel parts, and nothing left to norm at the end.
    refused += ["parallel_attn_mlp", "attn_only", "final_rms"] * (cfg.norm_position == "stream")
    for name in refused:
        if getattr(cfg, name):
            refuse(f"{name}=False with norm_position={cfg.norm_position!r}", f"{name}=True", quoted=False)


def check_mlp(cfg: Any) -> None:
    """An activation that is known, and experts that can be chosen among."""
    if cfg.attn_only:
        return
    require_count("d_mlp", cfg.d_mlp, 1)
    if not callable(cfg.act_fn):
        require_choice("act_fn", cfg.act_fn, tuple(ACTIVATIONS), "a function")
    if cfg.act_fn == "solu_ln" and cfg.gated_mlp:
        refuse("gated_mlp=False with act_fn='solu_ln'", "gated_mlp=True", quoted=False)
    if (cfg.num_experts is None) != (cfg.experts_per_token is None):
        missing = "num_experts" if cfg.num_experts is None else "experts_per_token"
        refuse("num_experts and experts_per_token together", f"no {missing}", quoted=False)
    if cfg.num_experts is not None:
        require_count("num_experts", cfg.num_experts, 1)
        require_count("experts_per_token", cfg.experts_per_token, 1)
        if cfg.experts_per_token > cfg.num_experts:
            refuse(f"at most num_experts={cfg.num_experts} for experts_per_token", cfg.experts_per_token)
        if not cfg.gated_mlp:
            refuse("gated_mlp=True with num_experts: experts are gated", "gated_mlp=False", quoted=False)


def check_attention(cfg: Any) -> None:
    """A direction, and a window where layers are local."""
    require_choice("attention_dir", cfg.attention_dir, ("causal", "bidirectional"))
    if not cfg.use_local_attn:
        return
    require_count("window_size", cfg.window_size, 1)
    if cfg.attn_types is None or len(cfg.attn_types) != cfg.n_layers:
        got = "none" if cfg.attn_types is None else f"{len(cfg.attn_types)}"
        refuse(f"one of 'global' and 'local' for each of {cfg.n_layers} layers in attn_types", got, False)
    for kind in cfg.attn_types or ():
        require_choice("each of attn_types", kind, ("global", "local"))


def check_positions(cfg: Any) -> None:
    """Rotations that fit a head, one way to stretch them, buckets that can be filled."""
    require_choice("alibi_slopes", cfg.alibi_slopes, ("geometric", "nearest_power"))
    if cfg.positional_embedding_type == "rotary":
        require_count("rotary_dim", cfg.rotary_dim, 2)
        if cfg.rotary_dim % 2 or cfg.rotary_dim > cfg.d_head:
            refuse(f"an even rotary_dim of at most d_head={cfg.d_head}", cfg.rotary_dim)
        stretched = (cfg.use_NTK_by_parts_rope, cfg.use_yarn_rope, cfg.use_longrope)
        stretched = (cfg.rotary_scaling_factor != 1.0, *stretched)
        if sum(stretched) > 1:
            kinds = "rotary_scaling_factor, use_NTK_by_parts_rope, use_yarn_rope and use_longrope"
            refuse(f"at most one of {kinds}", f"{sum(stretched)}", quoted=False)
        if cfg.rotary_layers is not None:
            if len(cfg.rotary_layers) != cfg.n_layers:
                wanted = f"one of True and False for each of {cfg.n_layers} layers in rotary_layers"
                refuse(wanted, f"{len(cfg.rotary_layers)}", quoted=False)
            for rotated in cfg.rotary_layers:
                require_choice("each of rotary_layers", rotated, (True, False))
        require_choice("rotary_scaling_local", cfg.rotary_scaling_local, (True, False, None))
        if cfg.use_yarn_rope and cfg.rotary_scaling_local is not None:
            refuse("yarn_global_attn_only in place of rotary_scaling_local with use_yarn_rope", "both", False)
        if cfg.use_NTK_by_parts_rope and not (
            cfg.NTK_by_parts_low_freq_factor < cfg.NTK_by_parts_high_freq_factor
        ):
            wanted = "NTK_by_parts_low_freq_factor below NTK_by_parts_high_freq_factor"
            refuse(wanted, cfg.NTK_by_parts_low_freq_factor)
    if cfg.positional_embedding_type == "relative_positional_bias":
        require_count("relative_attention_num_buckets", cfg.relative_attention_num_buckets, 4)
        least = cfg.relative_attention_num_buckets // 2 + 1
        require_count("relative_attention_max_distance", cfg.relative_attention_max_distance, least)


def check_longrope(cfg: Any) -> None:
    """A factor above zero for each pair of dimensions, short and long."""
    for name in ("longrope_short_factors", "longrope_long_factors") * cfg.use_longrope:
        factors = getattr(cfg, name)
        if factors is None or len(factors) != cfg.rotary_dim // 2:
            got = "none" if factors is None else f"{len(factors)}"
            refuse(f"a number for each of {cfg.rotary_dim // 2} pairs of dimensions in {name}", got, False)
        for factor in factors or ():
            wanted = "finite numbers above 0"
            require_number(name, factor, wanted, lambda value: value > 0)


def check_device(cfg: Any) -> None:
    """A device that torch can name."""
    try:
        torch.device(str(cfg.device))
    except RuntimeError as error:
        raise InputError(
            wanted="a torch device", got=repr(cfg.device), remedy="write 'cpu' or 'cuda'"
        ) from error


def refuse(wanted: str, got: object, quoted: bool = True) -> None:
    """Raise the InputError for two fields that do not fit each other."""
    raise InputError(
        wanted=wanted,
        got=repr(got) if quoted else str(got),
        remedy="set both, by dataclasses.replace(cfg, ...) where the config exists already",
    )


def require_whole_heads(d_model: int, d_head: int) -> None:
    """Raise InputError if heads of `d_head` would not fill `d_model`."""
    if d_model % d_head:
        raise InputError(
            wanted=f"a d_head that divides d_model={d_model}",
            got=str(d_head),
            remedy="set n_heads to choose the number of heads yourself",
        )


def require_count(name: str, value: object, least: int) -> None:
    """Raise InputError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(
            wanted=f"a whole number of at least {least} for {name}",
            got=repr(value),
            remedy=f"set {name} in HookedTransformerConfig",
        )


def require_choice(name: str, value: object, choices: tuple[str | bool | None, ...], other: str = "") -> None:
    """Raise InputError unless `value` is one of `choices`."""
    # A type beside the value: 1 == True, and an unhashable value must not raise something else.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise InputError(
            wanted=f"{name} to be one of {', '.join(map(repr, choices))}" + (f" or {other}" if other else ""),
            got=repr(value),
            remedy=f"set {name} in HookedTransformerConfig",
        )


def require_number(name: str, value: Any, wanted: str, fits: Any) -> None:
    """Raise InputError unless `value` is a finite number that fits."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and fits(value)):
        raise InputError(wanted=f"{wanted} for {name}", got=repr(value), remedy=f"set {name}")
