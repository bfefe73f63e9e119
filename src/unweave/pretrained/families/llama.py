"""LLaMA 1 to 3 (Touvron et al., 2023, arXiv:2302.13971), and the many models laid out like them."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import FROM_HEADS, HEAD_BIAS, LINEAR, TO_HEADS, Take, take

ATTENTION_BIASES = ("b_Q", "b_K", "b_V", "b_O")
EVERY_BIAS = (*ATTENTION_BIASES, "b_in", "b_out", "b_U")


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.LlamaConfig`."""
    fields = sizes(c, hidden_size=4096, intermediate_size=11008, max_position_embeddings=2048)
    return {**fields, **rotary_fields(c, fields["d_head"]), **biases(c)}


def biases(c: ConfigReader) -> dict[str, Any]:
    """The fields that `attention_bias` and `mlp_bias` say."""
    attention, mlp = c.flag("attention_bias", default=False), c.flag("mlp_bias", default=False)
    without = (() if attention else ATTENTION_BIASES) + (() if mlp else ("b_in", "b_out")) + ("b_U",)
    return {"gate_biases": mlp, "without_biases": without}


def sizes(c: ConfigReader, **defaults: Any) -> dict[str, Any]:
    """What the families that followed LLaMA share: sizes, RMS norms, a gated MLP.

    Args:
        defaults: those of the family's own config class, by name.
    """
    eps = c.number("rms_norm_eps", default=defaults.pop("rms_norm_eps", 1e-6))
    return {**llama_sizes(c, **defaults), "eps": eps, "normalization_type": "RMS"}


def llama_sizes(c: ConfigReader, **defaults: Any) -> dict[str, Any]:
    """The same without the norms."""
    c_default = {"num_key_value_heads": None, "num_attention_heads": 32, "num_hidden_layers": 32}
    c_default |= {"vocab_size": 32000, "hidden_act": "silu", "head_dim": None}
    c_default |= {"tie_word_embeddings": False} | defaults
    d_model = c.count("hidden_size", default=c_default["hidden_size"])
    n_heads = c.count("num_attention_heads", default=c_default["num_attention_heads"])
    n_groups = c.get("num_key_value_heads", default=c_default["num_key_value_heads"]) or n_heads
    return {
        "n_layers": c.count("num_hidden_layers", default=c_default["num_hidden_layers"]),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": c.get("head_dim", default=c_default["head_dim"]) or d_model // n_heads,
        "n_key_value_heads": None if n_groups == n_heads else n_groups,
        "d_mlp": c.count("intermediate_size", default=c_default["intermediate_size"]),
        "n_ctx": c.count("max_position_embeddings", default=c_default["max_position_embeddings"]),
        "d_vocab": c.count("vocab_size", default=c_default["vocab_size"]),
        "act_fn": c.text("hidden_act", default=c_default["hidden_act"]),
        "gated_mlp": True,
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=c_default["tie_word_embeddings"]),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.LlamaForCausalLM`; biases where the config has them."""
    group = "" if cfg.n_key_value_heads is None else "_"
    at, their = "blocks.{layer}", "layers.{layer}"
    table = [
        take("embed.W_E", "embed_tokens.weight"),
        take(f"{at}.ln1.w", f"{their}.input_layernorm.weight"),
        take(f"{at}.attn.W_Q", f"{their}.self_attn.q_proj.weight", TO_HEADS),
        take(f"{at}.attn.{group}W_K", f"{their}.self_attn.k_proj.weight", TO_HEADS),
        take(f"{at}.attn.{group}W_V", f"{their}.self_attn.v_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_O", f"{their}.self_attn.o_proj.weight", FROM_HEADS),
        take(f"{at}.ln2.w", f"{their}.post_attention_layernorm.weight"),
        take(f"{at}.mlp.W_gate", f"{their}.mlp.gate_proj.weight", LINEAR),
        take(f"{at}.mlp.W_in", f"{their}.mlp.up_proj.weight", LINEAR),
        take(f"{at}.mlp.W_out", f"{their}.mlp.down_proj.weight", LINEAR),
        take("ln_final.w", "norm.weight"),
    ]
    biases = {
        "b_Q": take(f"{at}.attn.b_Q", f"{their}.self_attn.q_proj.bias", HEAD_BIAS),
        "b_K": take(f"{at}.attn.{group}b_K", f"{their}.self_attn.k_proj.bias", HEAD_BIAS),
        "b_V": take(f"{at}.attn.{group}b_V", f"{their}.self_attn.v_proj.bias", HEAD_BIAS),
        "b_O": take(f"{at}.attn.b_O", f"{their}.self_attn.o_proj.bias"),
        "b_in": take(f"{at}.mlp.b_in", f"{their}.mlp.up_proj.bias"),
        "b_out": take(f"{at}.mlp.b_out", f"{their}.mlp.down_proj.bias"),
    }
    table += [row for name, row in biases.items() if name not in cfg.without_biases]
    if cfg.gate_biases:
        table.append(take(f"{at}.mlp.b_gate", f"{their}.mlp.gate_proj.bias"))
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


# What older files of such models hold beside their weights.
INV_FREQ = {
    r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq": "the rotary frequencies, which the config gives"
}
TIED = {"lm_head.weight": "embed_tokens.weight"}

FAMILY = Family(
    name="llama",
    architectures=("LlamaForCausalLM", "LLaMAForCausalLM"),
    model_types=("llama",),
    config=config,
    weights=weights,
    prefix="model.",
    inert={
        **because("dropout", "attention_dropout"),
        **because("never read", "max_sequence_length", "rope_interleaved"),
    },
    ignored=INV_FREQ,
    tied=TIED,
    supports="grouped heads, head size, biases of attention and MLP, linear, Llama 3 and YaRN scaling, tied or not",
    examples=("meta-llama/Llama-3.2-1B", "meta-llama/Llama-2-7b-hf", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
)
