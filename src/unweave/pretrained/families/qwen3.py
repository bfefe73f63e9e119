"""Qwen3 (Yang et al., 2025, arXiv:2505.09388): dense; Qwen2 with normed queries and keys, and no biases."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import llama
from unweave.pretrained.families.qwen2 import DEFAULTS, late_windows
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Qwen3Config`."""
    fields = llama.sizes(c, **DEFAULTS, head_dim=128)
    biases = c.flag("attention_bias", default=False)
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        **late_windows(c, fields["n_layers"]),
        "use_qk_norm": True,
        "without_biases": ("b_in", "b_out", "b_U") if biases else llama.EVERY_BIAS,
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.Qwen3ForCausalLM`."""
    at, their = "blocks.{layer}.attn", "layers.{layer}.self_attn"
    return [
        *llama.weights(cfg),
        take(f"{at}.q_norm.w", f"{their}.q_norm.weight"),
        take(f"{at}.k_norm.w", f"{their}.k_norm.weight"),
    ]


FAMILY = Family(
    name="qwen3",
    architectures=("Qwen3ForCausalLM",),
    model_types=("qwen3",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    tied=llama.TIED,
    supports="normed queries and keys, windows in some layers, attention biases, YaRN and other scaling, tied or not",
    examples=("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B"),
)
