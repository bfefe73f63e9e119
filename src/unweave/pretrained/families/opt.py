"""OPT (Zhang et al., 2022, arXiv:2205.01068), and Galactica, which is laid out like it."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import FROM_HEADS, HEAD_BIAS, LINEAR, TO_HEADS, Take, take

BIASES = ("b_Q", "b_K", "b_V", "b_O", "b_in", "b_out")


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.OPTConfig`. With `do_layer_norm_before=False` the stream itself is normed."""
    d_model, n_heads = c.count("hidden_size", default=768), c.count("num_attention_heads", default=12)
    if c.get("word_embed_proj_dim", default=None) not in (None, d_model):
        # opt-350m's: two maps between its narrow embeddings and the stream.
        c.refuse("word_embed_proj_dim", f"only hidden_size={d_model} is honoured")
    before = c.flag("do_layer_norm_before", default=True)
    c.only("_remove_final_layer_norm", False, default=False)
    return {
        "n_layers": c.count("num_hidden_layers", default=12),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": c.count("ffn_dim", default=3072),
        "n_ctx": c.count("max_position_embeddings", default=2048),
        "d_vocab": c.count("vocab_size", default=50272),
        "act_fn": c.text("activation_function", default="relu"),
        "normalization_type": "LN" if c.flag("layer_norm_elementwise_affine", default=True) else "LNPre",
        "norm_position": "before" if before else "stream",
        "positional_embedding_type": "standard",
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
        "without_biases": ("b_U",) if c.flag("enable_bias", default=True) else (*BIASES, "b_U"),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.OPTForCausalLM`. The first two rows of its positions are never read."""
    at, their = "blocks.{layer}", "decoder.layers.{layer}"
    table = [
        take("embed.W_E", "decoder.embed_tokens.weight"),
        take("pos_embed.W_pos", "decoder.embed_positions.weight", rows=(2, None)),
        take(f"{at}.attn.W_Q", f"{their}.self_attn.q_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_K", f"{their}.self_attn.k_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_V", f"{their}.self_attn.v_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_O", f"{their}.self_attn.out_proj.weight", FROM_HEADS),
        take(f"{at}.mlp.W_in", f"{their}.fc1.weight", LINEAR),
        take(f"{at}.mlp.W_out", f"{their}.fc2.weight", LINEAR),
    ]
    if cfg.normalization_type == "LN":
        table += [
            take(f"{at}.ln1.w", f"{their}.self_attn_layer_norm.weight"),
            take(f"{at}.ln1.b", f"{their}.self_attn_layer_norm.bias"),
            take(f"{at}.ln2.w", f"{their}.final_layer_norm.weight"),
            take(f"{at}.ln2.b", f"{their}.final_layer_norm.bias"),
        ]
    if cfg.normalization_type == "LN" and cfg.norm_position == "before":
        table += [
            take("ln_final.w", "decoder.final_layer_norm.weight"),
            take("ln_final.b", "decoder.final_layer_norm.bias"),
        ]
    if "b_Q" not in cfg.without_biases:
        table += [
            take(f"{at}.attn.b_Q", f"{their}.self_attn.q_proj.bias", HEAD_BIAS),
            take(f"{at}.attn.b_K", f"{their}.self_attn.k_proj.bias", HEAD_BIAS),
            take(f"{at}.attn.b_V", f"{their}.self_attn.v_proj.bias", HEAD_BIAS),
            take(f"{at}.attn.b_O", f"{their}.self_attn.out_proj.bias"),
            take(f"{at}.mlp.b_in", f"{their}.fc1.bias"),
            take(f"{at}.mlp.b_out", f"{their}.fc2.bias"),
        ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


FAMILY = Family(
    name="opt",
    architectures=("OPTForCausalLM",),
    model_types=("opt",),
    config=config,
    weights=weights,
    prefix="model.",
    inert={
        **because("dropout", "dropout", "attention_dropout", "activation_dropout", "layerdrop"),
        **because("the spread of weights before training", "init_std"),
        **because("never read", "learned_embeddings", "scale_embeddings"),
    },
    tied={"lm_head.weight": "decoder.embed_tokens.weight"},
    supports="norms before or after, biases or none, norms' weights or none; embeddings as wide as the stream",
    examples=("facebook/opt-125m", "facebook/opt-6.7b", "facebook/galactica-1.3b"),
)
