"""Gemma 2 (Gemma Team, 2024, arXiv:2408.00118): windows in every other layer, norms after too, capped scores and logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import gemma, llama
from unweave.pretrained.family import Family, windows
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Gemma2Config`."""
    fields = shared(c, vocab_size=256000, max_position_embeddings=8192, final_logit_softcapping=30.0)
    window = c.get("sliding_window", default=4096)
    # The first files give it twice.
    c.only("sliding_window_size", window, None, default=None)
    cap = c.get("attn_logit_softcapping", default=50.0)
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        **mixed_windows(c, fields["n_layers"], every=2, window=window),
        "attn_scores_soft_cap": -1.0 if cap is None else cap,
    }


def shared(c: ConfigReader, *, final_logit_softcapping: float | None, **defaults: Any) -> dict[str, Any]:
    """What Gemma 2 and 3 share, but for windows and rotary positions. `defaults`: as for `llama.sizes`."""
    act_fn = c.text("hidden_activation", default=gemma.GELU)
    fields = gemma.shared(
        c,
        hidden_act=act_fn,
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        **defaults,
    )
    if fields["act_fn"] != act_fn:
        c.refuse("hidden_act", f"hidden_activation says {act_fn!r}")
    cap = c.get("final_logit_softcapping", default=final_logit_softcapping)
    return {
        **fields,
        "act_fn": act_fn,
        "attn_scale": math.sqrt(c.number("query_pre_attn_scalar", default=256)),
        "use_normalization_before_and_after": True,
        "output_logits_soft_cap": -1.0 if cap is None else cap,
    }


def mixed_windows(c: ConfigReader, n_layers: int, *, every: int, window: int | None) -> dict[str, Any]:
    """The windows of layers: those of `layer_types`, or of all but each `every`-th layer."""
    spelled = ["sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(n_layers)]
    types: Sequence[str] = c.get("layer_types", default=None) or spelled
    if "sliding_window_pattern" in c.values and list(types) != spelled:
        c.refuse("sliding_window_pattern", "layer_types says otherwise")
    if window is None and "sliding_attention" in types:
        c.refuse("sliding_window", "layers of type sliding_attention need a window")
    return windows(types, window)


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.Gemma2ForCausalLM`."""
    at, their = "blocks.{layer}", "layers.{layer}"
    norms = [
        take(f"{at}.ln1_post.w", f"{their}.post_attention_layernorm.weight"),
        take(f"{at}.ln2.w", f"{their}.pre_feedforward_layernorm.weight"),
        take(f"{at}.ln2_post.w", f"{their}.post_feedforward_layernorm.weight"),
    ]
    rest = [row for row in llama.weights(cfg) if row.ours != f"{at}.ln2.w"]
    return [gemma.add_one(row) for row in rest + norms]


FAMILY = Family(
    name="gemma2",
    architectures=("Gemma2ForCausalLM",),
    model_types=("gemma2",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=llama.INV_FREQ,
    tied=llama.TIED,
    supports="windows in some layers, soft caps of scores and logits or none, scale of scores, norms before and after",
    examples=("google/gemma-2-2b", "google/gemma-2-9b-it"),
)
