"""OLMo 2 (Team OLMo, 2025, arXiv:2501.00656): norms of what attention and MLP give, and of queries and keys."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families.llama import ATTENTION_BIASES, INV_FREQ, TIED, sizes
from unweave.pretrained.families.llama import weights as llama_weights
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import HEAD_BIAS, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Olmo2Config`. Queries' and keys' norms are of all heads together."""
    biased = c.flag("attention_bias", default=False)
    fields = sizes(
        c,
        vocab_size=50304,
        hidden_size=4096,
        intermediate_size=11008,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
    )
    return {
        **fields,
        **rotary_fields(c, fields["d_head"]),
        "norm_position": "after",
        "use_qk_norm": True,
        "qk_norm_scope": "all_heads",
        "without_biases": (() if biased else ATTENTION_BIASES) + ("b_in", "b_out", "b_U"),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.Olmo2ForCausalLM`."""
    at, their = "blocks.{layer}", "layers.{layer}"
    return [
        *(row for row in llama_weights(cfg) if "layernorm" not in row.theirs),
        take(f"{at}.ln1_post.w", f"{their}.post_attention_layernorm.weight"),
        take(f"{at}.ln2_post.w", f"{their}.post_feedforward_layernorm.weight"),
        take(f"{at}.attn.q_norm.w", f"{their}.self_attn.q_norm.weight", HEAD_BIAS),
        take(f"{at}.attn.k_norm.w", f"{their}.self_attn.k_norm.weight", HEAD_BIAS),
    ]


FAMILY = Family(
    name="olmo2",
    architectures=("Olmo2ForCausalLM",),
    model_types=("olmo2",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout"),
    ignored=INV_FREQ,
    tied=TIED,
    supports="norms after attention and MLP, norms of queries and keys, grouped heads, biases, tied or not",
    examples=("allenai/OLMo-2-0425-1B", "allenai/OLMo-2-1124-7B"),
)
