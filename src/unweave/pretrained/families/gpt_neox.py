"""GPT-NeoX (Black et al., 2022, arXiv:2204.06745), and Pythia (Biderman et al., 2023, arXiv:2304.01373)."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import FROM_HEADS, LINEAR, Take, take

# Queries, keys and values of one head stand together.
QKV = "(head qkv d_head) d_model -> head d_model d_head"
QKV_BIAS = "(head qkv d_head) -> head d_head"


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GPTNeoXConfig`."""
    d_model, n_heads = c.count("hidden_size", default=6144), c.count("num_attention_heads", default=64)
    d_head = d_model // n_heads
    biases = c.flag("attention_bias", default=True)
    return {
        "n_layers": c.count("num_hidden_layers", default=44),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_head,
        "d_mlp": c.count("intermediate_size", default=24576),
        "n_ctx": c.count("max_position_embeddings", default=2048),
        "d_vocab": c.count("vocab_size", default=50432),
        "act_fn": c.text("hidden_act", default="gelu"),
        "eps": c.number("layer_norm_eps", "layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "parallel_attn_mlp": c.flag("use_parallel_residual", default=True),
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=False),
        "without_biases": ("b_U",) if biases else ("b_U", "b_Q", "b_K", "b_V", "b_O"),
        **rotary_fields(
            c,
            d_head,
            theta_names=("rotary_emb_base", "rope_theta"),
            partial=0.25,
            partial_names=("rotary_pct", "partial_rotary_factor"),
        ),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.GPTNeoXForCausalLM`."""
    at, their = "blocks.{layer}", "layers.{layer}"
    qkv = f"{their}.attention.query_key_value"
    table = [
        take("embed.W_E", "embed_in.weight"),
        take(f"{at}.ln1.w", f"{their}.input_layernorm.weight"),
        take(f"{at}.ln1.b", f"{their}.input_layernorm.bias"),
        take(f"{at}.attn.W_Q", f"{qkv}.weight", QKV, qkv=0),
        take(f"{at}.attn.W_K", f"{qkv}.weight", QKV, qkv=1),
        take(f"{at}.attn.W_V", f"{qkv}.weight", QKV, qkv=2),
        take(f"{at}.attn.W_O", f"{their}.attention.dense.weight", FROM_HEADS),
        take(f"{at}.ln2.w", f"{their}.post_attention_layernorm.weight"),
        take(f"{at}.ln2.b", f"{their}.post_attention_layernorm.bias"),
        take(f"{at}.mlp.W_in", f"{their}.mlp.dense_h_to_4h.weight", LINEAR),
        take(f"{at}.mlp.b_in", f"{their}.mlp.dense_h_to_4h.bias"),
        take(f"{at}.mlp.W_out", f"{their}.mlp.dense_4h_to_h.weight", LINEAR),
        take(f"{at}.mlp.b_out", f"{their}.mlp.dense_4h_to_h.bias"),
        take("ln_final.w", "final_layer_norm.weight"),
        take("ln_final.b", "final_layer_norm.bias"),
    ]
    if "b_Q" not in cfg.without_biases:
        table += [
            take(f"{at}.attn.b_Q", f"{qkv}.bias", QKV_BIAS, qkv=0),
            take(f"{at}.attn.b_K", f"{qkv}.bias", QKV_BIAS, qkv=1),
            take(f"{at}.attn.b_V", f"{qkv}.bias", QKV_BIAS, qkv=2),
            take(f"{at}.attn.b_O", f"{their}.attention.dense.bias"),
        ]
    if not cfg.tie_word_embeddings:
        # transformers 4 called it embed_out, and so do the files of the hub.
        older = take("unembed.W_U", "embed_out.weight", LINEAR)
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR, or_else=older))
    return table


FAMILY = Family(
    name="gpt_neox",
    architectures=("GPTNeoXForCausalLM",),
    model_types=("gpt_neox",),
    config=config,
    weights=weights,
    prefix="gpt_neox.",
    inert=because("dropout", "attention_dropout", "hidden_dropout"),
    ignored={
        r"layers\.\d+\.attention\.(masked_)?bias": "the causal mask, which older files hold",
        r"layers\.\d+\.attention\.rotary_emb\.inv_freq": "the rotary frequencies, which the config gives",
    },
    tied={"lm_head.weight": "embed_in.weight", "embed_out.weight": "embed_in.weight"},
    supports="parallel or not, partly rotated heads, attention biases or none, tied or not; training checkpoints",
    examples=("EleutherAI/pythia-70m", "EleutherAI/pythia-1.4b-deduped", "EleutherAI/gpt-neox-20b"),
)
