"""BLOOM (BigScience, 2022, arXiv:2211.05100), and BLOOMZ."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import FROM_HEADS, LINEAR, Take, take

# Queries, keys and values of one head stand together.
QKV = "(head qkv d_head) d_model -> head d_model d_head"
QKV_BIAS = "(head qkv d_head) -> head d_head"


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.BloomConfig`. It has no longest sequence; most files say which it was trained with."""
    d_model = c.count("hidden_size", "n_embed", default=64)
    n_heads = c.count("n_head", "num_attention_heads", default=8)
    c.only("apply_residual_connection_post_layernorm", False, default=False)
    c.only("n_inner", None, 4 * d_model, default=None)
    return {
        "n_layers": c.count("n_layer", "num_hidden_layers", default=2),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": 4 * d_model,
        "n_ctx": c.count("seq_length", default=2048),
        "d_vocab": c.count("vocab_size", default=250880),
        "act_fn": "gelu_new",
        "eps": c.number("layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "positional_embedding_type": "alibi",
        "alibi_slopes": "nearest_power",
        "post_embedding_ln": True,
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
        "without_biases": ("b_U",),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.BloomForCausalLM`."""
    at, their = "blocks.{layer}", "h.{layer}"
    qkv = f"{their}.self_attention.query_key_value"
    table = [
        take("embed.W_E", "word_embeddings.weight"),
        take("embed.ln.w", "word_embeddings_layernorm.weight"),
        take("embed.ln.b", "word_embeddings_layernorm.bias"),
        take(f"{at}.ln1.w", f"{their}.input_layernorm.weight"),
        take(f"{at}.ln1.b", f"{their}.input_layernorm.bias"),
        take(f"{at}.attn.W_Q", f"{qkv}.weight", QKV, qkv=0),
        take(f"{at}.attn.W_K", f"{qkv}.weight", QKV, qkv=1),
        take(f"{at}.attn.W_V", f"{qkv}.weight", QKV, qkv=2),
        take(f"{at}.attn.b_Q", f"{qkv}.bias", QKV_BIAS, qkv=0),
        take(f"{at}.attn.b_K", f"{qkv}.bias", QKV_BIAS, qkv=1),
        take(f"{at}.attn.b_V", f"{qkv}.bias", QKV_BIAS, qkv=2),
        take(f"{at}.attn.W_O", f"{their}.self_attention.dense.weight", FROM_HEADS),
        take(f"{at}.attn.b_O", f"{their}.self_attention.dense.bias"),
        take(f"{at}.ln2.w", f"{their}.post_attention_layernorm.weight"),
        take(f"{at}.ln2.b", f"{their}.post_attention_layernorm.bias"),
        take(f"{at}.mlp.W_in", f"{their}.mlp.dense_h_to_4h.weight", LINEAR),
        take(f"{at}.mlp.b_in", f"{their}.mlp.dense_h_to_4h.bias"),
        take(f"{at}.mlp.W_out", f"{their}.mlp.dense_4h_to_h.weight", LINEAR),
        take(f"{at}.mlp.b_out", f"{their}.mlp.dense_4h_to_h.bias"),
        take("ln_final.w", "ln_f.weight"),
        take("ln_final.b", "ln_f.bias"),
    ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


FAMILY = Family(
    name="bloom",
    architectures=("BloomForCausalLM", "BloomModel"),
    model_types=("bloom",),
    config=config,
    weights=weights,
    prefix="transformer.",
    inert={
        **because("dropout", "attention_dropout", "hidden_dropout"),
        **because("in which order sums are taken; the function is the same", "slow_but_exact"),
        **because("how it was trained, and never read", "masked_softmax_fusion", "bias_dropout_fusion"),
        **because("how it was trained, and never read", "skip_bias_add", "skip_bias_add_qkv", "offset_alibi"),
        **because("how it was trained, and never read", "attention_softmax_in_fp32"),
    },
    tied={"lm_head.weight": "word_embeddings.weight"},
    supports="any number of heads, tied or not",
    examples=("bigscience/bloom-560m", "bigscience/bloomz-1b7", "bigscience/bloom"),
)
