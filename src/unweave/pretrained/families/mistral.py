"""Mistral 7B (Jiang et al., 2023, arXiv:2310.06825): LLaMA's layout, and a window."""

from __future__ import annotations

from typing import Any

from unweave.pretrained.families.llama import EVERY_BIAS, INV_FREQ, TIED, sizes, weights
from unweave.pretrained.family import Family, windows
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.MistralConfig`."""
    fields = sizes(
        c,
        hidden_size=4096,
        intermediate_size=14336,
        max_position_embeddings=131072,
        num_key_value_heads=8,
    )
    window = c.get("sliding_window", default=4096)
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        **windows(["sliding_attention"] * fields["n_layers"], window),
        "without_biases": EVERY_BIAS,
    }


FAMILY = Family(
    name="mistral",
    architectures=("MistralForCausalLM",),
    model_types=("mistral",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=INV_FREQ,
    tied=TIED,
    supports="windows, grouped heads, head size, tied or not",
    examples=("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-Nemo-Base-2407"),
)
