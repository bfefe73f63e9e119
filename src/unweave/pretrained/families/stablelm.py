"""StableLM 3B and 2 (Bellagente et al., 2024, arXiv:2402.17834): LLaMA's layout with LayerNorms."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families.llama import INV_FREQ, TIED, llama_sizes
from unweave.pretrained.families.llama import weights as llama_weights
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.StableLmConfig`."""
    fields = llama_sizes(
        c,
        vocab_size=50304,
        hidden_size=2560,
        intermediate_size=6912,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    )
    c.only("qk_layernorm", False, default=False)
    biased = c.flag("use_qkv_bias", default=False)
    return {
        **fields,
        **rotary_fields(
            c, fields["d_head"], partial=0.25, partial_names=("partial_rotary_factor", "rope_pct")
        ),
        "eps": c.number("layer_norm_eps", "norm_eps", default=1e-5),
        "normalization_type": "LN",
        "parallel_attn_mlp": c.flag("use_parallel_residual", default=False),
        "without_biases": (() if biased else ("b_Q", "b_K", "b_V")) + ("b_O", "b_in", "b_out", "b_U"),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.StableLmForCausalLM`. In parallel layers attention and MLP read one norm."""
    at, their = "blocks.{layer}", "layers.{layer}"
    second = "input_layernorm" if cfg.parallel_attn_mlp else "post_attention_layernorm"
    return [
        *(row for row in llama_weights(cfg) if "norm" not in row.theirs),
        take(f"{at}.ln1.w", f"{their}.input_layernorm.weight"),
        take(f"{at}.ln1.b", f"{their}.input_layernorm.bias"),
        take(f"{at}.ln2.w", f"{their}.{second}.weight"),
        take(f"{at}.ln2.b", f"{their}.{second}.bias"),
        take("ln_final.w", "norm.weight"),
        take("ln_final.b", "norm.bias"),
    ]


FAMILY = Family(
    name="stablelm",
    architectures=("StableLmForCausalLM", "StableLMEpochForCausalLM"),
    model_types=("stablelm", "stablelm_epoch"),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout", "hidden_dropout"),
    ignored=INV_FREQ,
    tied=TIED,
    supports="parallel or not, partly rotated heads, biases of queries, keys and values, grouped heads, tied or not",
    examples=("stabilityai/stablelm-3b-4e1t", "stabilityai/stablelm-2-1_6b"),
)
