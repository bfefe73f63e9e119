"""Qwen 1.5, 2 and 2.5 (Yang et al., 2024, arXiv:2407.10671): LLaMA's layout with biases, and windows in some layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unweave.pretrained.families.llama import INV_FREQ, TIED, sizes, weights
from unweave.pretrained.family import Family, windows
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Qwen2Config`. Queries, keys and values have biases, what they give has none."""
    fields = sizes(c, **DEFAULTS)
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        **late_windows(c, fields["n_layers"]),
        "without_biases": ("b_O", "b_in", "b_out", "b_U"),
    }


def late_windows(c: ConfigReader, n_layers: int) -> dict[str, Any]:
    """The windows of Qwen: in layers from `max_window_layers` on, or where `layer_types` says, and only
    with `use_sliding_window`.
    """
    on = c.flag("use_sliding_window", default=False)
    width, first = c.get("sliding_window", default=4096), c.count("max_window_layers", default=28)
    window: int | None = width if on else None
    types: Sequence[str] | None = c.get("layer_types", default=None)
    if types is None:
        local = 0 if window is None else max(n_layers - first, 0)
        types = ["full_attention"] * (n_layers - local) + ["sliding_attention"] * local
    elif window is None and "sliding_attention" in types:
        c.refuse("layer_types", "use_sliding_window and sliding_window give no window")
    return windows(types, window)


DEFAULTS: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "max_position_embeddings": 32768,
}

FAMILY = Family(
    name="qwen2",
    architectures=("Qwen2ForCausalLM",),
    model_types=("qwen2",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=INV_FREQ,
    tied=TIED,
    supports="windows in some layers, grouped heads, YaRN and other scaling, tied or not",
    examples=("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2-7B", "Qwen/Qwen1.5-0.5B-Chat"),
)
