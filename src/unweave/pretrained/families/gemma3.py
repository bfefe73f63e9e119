"""Gemma 3 (Gemma Team, 2025, arXiv:2503.19786), the text models: normed queries and keys, rotary bases of two kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import gemma2, llama
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import of_table, rope_table
from unweave.pretrained.takes import Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Gemma3TextConfig`."""
    fields = gemma2.shared(c, vocab_size=262208, max_position_embeddings=131072, final_logit_softcapping=None)
    # transformers doesn't apply it in this family.
    c.only("attn_logit_softcapping", None, default=None)
    every = c.count("sliding_window_pattern", default=6)
    if "layer_types" not in c.values:
        # transformers writes this name, and reads only the other.
        c.only("_sliding_window_pattern", every, default=every)
    windows = gemma2.mixed_windows(
        c, fields["n_layers"], every=every, window=c.get("sliding_window", default=4096)
    )
    return {
        **fields,
        **windows,
        **rotary(c, fields["d_head"], windows.get("attn_types", ())),
        "use_qk_norm": True,
    }


def rotary(c: ConfigReader, d_head: int, types: tuple[str, ...]) -> dict[str, Any]:
    """The rotary fields: `rope_parameters` by the type of layer, or, in older files, one `rope_scaling`
    of the layers that see all, beside two bases.
    """
    base = c.number("rope_theta", default=1_000_000.0)
    local_base = c.number("rope_local_base_freq", default=10_000.0)
    table: ConfigReader = rope_table(c)
    local: Mapping[str, Any] = {}
    if "full_attention" in table.values or "sliding_attention" in table.values:
        both = table
        local = both.get("sliding_attention", default=None) or {}
        table = both.part("full_attention", both.get("full_attention", default=None) or {})
        both.finish({})
    fields = of_table(c, table, d_head, base, None)
    of_local = c.part("rope_parameters.sliding_attention", local)
    of_local.only("rope_type", "default", default="default")
    local_base = of_local.number("rope_theta", default=local_base)
    of_local.finish({})
    if "local" not in types:
        return fields
    fields["rotary_base_local"] = local_base
    if fields.get("use_yarn_rope"):
        fields["yarn_global_attn_only"] = True
    elif fields.keys() & {"use_NTK_by_parts_rope", "use_longrope"}:
        fields["rotary_scaling_local"] = False
    return fields


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.Gemma3ForCausalLM`."""
    at, their = "blocks.{layer}.attn", "layers.{layer}.self_attn"
    return [
        *gemma2.weights(cfg),
        take(f"{at}.q_norm.w", f"{their}.q_norm.weight", plus=1.0),
        take(f"{at}.k_norm.w", f"{their}.k_norm.weight", plus=1.0),
    ]


FAMILY = Family(
    name="gemma3",
    architectures=("Gemma3ForCausalLM",),
    model_types=("gemma3_text",),
    config=config,
    weights=weights,
    prefix="model.",
    inert={
        **because("dropout", "attention_dropout"),
        **because("layer_types says it for each layer", "_sliding_window_pattern"),
    },
    ignored=llama.INV_FREQ,
    tied=llama.TIED,
    supports="text models: windows in some layers, a rotary base of their own, scaled positions in the others",
    examples=("google/gemma-3-1b-pt", "google/gemma-3-270m"),
)
