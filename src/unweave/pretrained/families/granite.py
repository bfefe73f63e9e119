"""Granite (IBM, 2024, https://github.com/ibm-granite): LLaMA's layout, and four multipliers."""

from __future__ import annotations

from typing import Any

from unweave.pretrained.families.llama import INV_FREQ, TIED, biases, sizes, weights
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GraniteConfig`. Scores are multiplied by `attention_multiplier`, and not divided."""
    fields = sizes(c, hidden_size=4096, intermediate_size=11008, max_position_embeddings=2048)
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        **biases(c),
        "attn_scale": 1 / c.number("attention_multiplier", default=1.0),
        "embedding_scale": c.number("embedding_multiplier", default=1.0),
        "residual_multiplier": c.number("residual_multiplier", default=1.0),
        "logit_multiplier": 1 / c.number("logits_scaling", default=1.0),
    }


FAMILY = Family(
    name="granite",
    architectures=("GraniteForCausalLM",),
    model_types=("granite",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=INV_FREQ,
    tied=TIED,
    supports="multipliers of embeddings, scores, residual stream and logits; biases; grouped heads; tied or not",
    examples=("ibm-granite/granite-3.1-2b-base", "ibm-granite/granite-3.3-8b-instruct"),
)
