"""Which fields of a config mean something only beside another: set without it, they are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError


@dataclass(frozen=True)
class Need:
    """`fields` other than their defaults are refused unless `met`; `told` says so in words."""

    told: str
    met: Callable[[Any], bool]
    fields: tuple[str, ...]


NEEDS = (
    Need("use_local_attn=True", lambda cfg: cfg.use_local_attn, ("window_size", "attn_types")),
    Need(
        "positional_embedding_type='rotary'",
        lambda cfg: cfg.positional_embedding_type == "rotary",
        (
            "rotary_dim",
            "rotary_base",
            "rotary_base_local",
            "rotary_adjacent_pairs",
            "rotary_layers",
            "rotary_scaling_factor",
            "rotary_scaling_local",
            "use_NTK_by_parts_rope",
            "use_yarn_rope",
            "use_longrope",
        ),
    ),
    Need(
        "use_longrope=True",
        lambda cfg: cfg.use_longrope,
        (
            "longrope_short_factors",
            "longrope_long_factors",
            "longrope_original_ctx_len",
            "longrope_attention_factor",
        ),
    ),
    Need(
        "positional_embedding_type='alibi'",
        lambda cfg: cfg.positional_embedding_type == "alibi",
        ("alibi_slopes", "alibi_scaled", "alibi_rounded"),
    ),
    Need(
        "use_NTK_by_parts_rope=True",
        lambda cfg: cfg.use_NTK_by_parts_rope,
        (
            "NTK_by_parts_factor",
            "NTK_by_parts_low_freq_factor",
            "NTK_by_parts_high_freq_factor",
            "NTK_original_ctx_len",
        ),
    ),
    Need(
        "use_yarn_rope=True",
        lambda cfg: cfg.use_yarn_rope,
        (
            "yarn_factor",
            "yarn_attention_factor",
            "yarn_beta_fast",
            "yarn_beta_slow",
            "yarn_original_max_position_embeddings",
            "yarn_truncate",
            "yarn_global_attn_only",
        ),
    ),
    Need(
        "'local' among attn_types",
        lambda cfg: cfg.use_local_attn and "local" in cfg.attn_types,
        ("rotary_base_local", "rotary_scaling_local", "yarn_global_attn_only"),
    ),
    Need(
        "rotary positions that are stretched",
        lambda cfg: (
            cfg.rotary_scaling_factor != 1.0
            or cfg.use_NTK_by_parts_rope
            or cfg.use_yarn_rope
            or cfg.use_longrope
        ),
        ("rotary_scaling_local",),
    ),
    Need(
        "positional_embedding_type='relative_positional_bias'",
        lambda cfg: cfg.positional_embedding_type == "relative_positional_bias",
        ("relative_attention_num_buckets", "relative_attention_max_distance"),
    ),
    Need(
        "attn_only=False",
        lambda cfg: not cfg.attn_only,
        ("gated_mlp", "parallel_attn_mlp", "num_experts", "experts_per_token", "use_hook_mlp_in"),
    ),
    Need("gated_mlp=True", lambda cfg: cfg.gated_mlp, ("gate_biases",)),
    Need("num_experts=None", lambda cfg: cfg.num_experts is None, ("gate_biases",)),
    Need("use_qk_norm=True", lambda cfg: cfg.use_qk_norm, ("qk_norm_type", "qk_norm_scope")),
    Need("num_experts", lambda cfg: cfg.num_experts is not None, ("norm_topk_prob",)),
    Need(
        "n_key_value_heads",
        lambda cfg: cfg.n_key_value_heads is not None,
        ("ungroup_grouped_query_attention",),
    ),
    Need(
        "a normalization_type",
        lambda cfg: cfg.normalization_type is not None,
        ("use_normalization_before_and_after", "norm_position", "final_rms"),
    ),
    # RMS already ends in an RMS norm: the switch would change nothing.
    Need(
        "normalization_type 'LN' or 'LNPre'",
        lambda cfg: cfg.normalization_type in ("LN", "LNPre"),
        ("final_rms",),
    ),
)


def check_needs(cfg: Any, defaults: dict[str, Any]) -> None:
    """Raise InputError for a field that would be ignored."""
    for need in NEEDS:
        if need.met(cfg):
            continue
        for name in need.fields:
            if getattr(cfg, name) != defaults[name]:
                raise InputError(
                    wanted=f"{name} left out, or {need.told} with it",
                    got=f"{name}={getattr(cfg, name)!r} alone",
                    remedy="set both, by dataclasses.replace(cfg, ...) where the config exists already",
                )
