"""OLMo 1 (Groeneveld et al., 2024, arXiv:2402.00838): LLaMA's layout, norms without weights."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families.llama import ATTENTION_BIASES, INV_FREQ, TIED, llama_sizes
from unweave.pretrained.families.llama import weights as llama_weights
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import Take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.OlmoConfig`."""
    biased = c.flag("attention_bias", default=False)
    fields = llama_sizes(
        c, vocab_size=50304, hidden_size=4096, intermediate_size=11008, max_position_embeddings=2048
    )
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        "normalization_type": "LNPre",
        "eps": 1e-5,
        "clip_qkv": c.get("clip_qkv", default=None),
        "without_biases": (() if biased else ATTENTION_BIASES) + ("b_in", "b_out", "b_U"),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.OlmoForCausalLM`: LLaMA's without the norms'."""
    return [row for row in llama_weights(cfg) if "norm" not in row.theirs]


FAMILY = Family(
    name="olmo",
    architectures=("OlmoForCausalLM",),
    model_types=("olmo",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=INV_FREQ,
    tied=TIED,
    supports="clipped queries, keys and values; grouped heads; attention biases; tied or not",
    examples=("allenai/OLMo-1B-hf", "allenai/OLMo-7B-hf"),
)
