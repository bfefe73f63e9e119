"""Gemma 1 (Gemma Team, 2024, arXiv:2403.08295): LLaMA's layout, scaled embeddings, norms that store w - 1."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import llama
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import Take

GELU = "gelu_pytorch_tanh"


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GemmaConfig`. The first files say "gelu" and mean its tanh approximation."""
    fields = shared(
        c,
        hidden_act=GELU,
        vocab_size=256000,
        hidden_size=3072,
        intermediate_size=24576,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=16,
        max_position_embeddings=8192,
    )
    if fields["act_fn"] == "gelu":
        fields["act_fn"] = GELU
    # For a while there was a second name, beside which the first was not read.
    c.only("hidden_activation", fields["act_fn"], None, default=None)
    return {**fields, **rotary_fields(c, fields["d_head"])}


def shared(c: ConfigReader, **defaults: Any) -> dict[str, Any]:
    """What all Gemmas share, but for the rotary positions. `defaults`: as for `llama.sizes`."""
    fields = llama.sizes(c, head_dim=256, tie_word_embeddings=True, **defaults)
    biases = c.flag("attention_bias", default=False)
    c.only("use_bidirectional_attention", False, None, default=False)
    return {
        **fields,
        "embedding_scale": math.sqrt(fields["d_model"]),
        "without_biases": ("b_in", "b_out", "b_U") if biases else llama.EVERY_BIAS,
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.GemmaForCausalLM`."""
    return [add_one(row) for row in llama.weights(cfg)]


def add_one(row: Take) -> Take:
    """The same row; of a norm's weight, stored as what is added to 1, that sum."""
    return dataclasses.replace(row, plus=1.0) if row.ours.endswith(".w") else row


FAMILY = Family(
    name="gemma",
    architectures=("GemmaForCausalLM",),
    model_types=("gemma",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=llama.INV_FREQ,
    tied=llama.TIED,
    supports="grouped heads, head size, attention biases, tied or not",
    examples=("google/gemma-2b", "google/gemma-7b-it"),
)
