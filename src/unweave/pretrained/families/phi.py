"""Phi-1, 1.5 and 2 (Gunasekar et al., 2023, arXiv:2306.11644): attention and MLP side by side, biases everywhere."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import FROM_HEADS, HEAD_BIAS, LINEAR, TO_HEADS, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.PhiConfig`."""
    d_model, n_heads = c.count("hidden_size", default=2048), c.count("num_attention_heads", default=32)
    n_groups = c.get("num_key_value_heads", default=None) or n_heads
    d_head = d_model // n_heads
    return {
        "n_layers": c.count("num_hidden_layers", default=24),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_head,
        "n_key_value_heads": None if n_groups == n_heads else n_groups,
        "d_mlp": c.count("intermediate_size", default=8192),
        "n_ctx": c.count("max_position_embeddings", default=2048),
        "d_vocab": c.count("vocab_size", default=51200),
        "act_fn": c.text("hidden_act", default="gelu_new"),
        "eps": c.number("layer_norm_eps", default=1e-5),
        "normalization_type": "LN",
        "parallel_attn_mlp": True,
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=False),
        **({"use_qk_norm": True, "qk_norm_type": "LN"} if c.flag("qk_layernorm", default=False) else {}),
        **rotary_fields(c, d_head, partial=0.5),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.PhiForCausalLM`. One norm goes before attention and MLP alike: each gets a copy."""
    group = "" if cfg.n_key_value_heads is None else "_"
    at, their = "blocks.{layer}", "layers.{layer}"
    attention = f"{their}.self_attn"
    table = [take("embed.W_E", "embed_tokens.weight")]
    for ours in ("ln1", "ln2"):
        table += [
            take(f"{at}.{ours}.w", f"{their}.input_layernorm.weight"),
            take(f"{at}.{ours}.b", f"{their}.input_layernorm.bias"),
        ]
    for which, prefix in (("Q", ""), ("K", group), ("V", group)):
        table += [
            take(f"{at}.attn.{prefix}W_{which}", f"{attention}.{which.lower()}_proj.weight", TO_HEADS),
            take(f"{at}.attn.{prefix}b_{which}", f"{attention}.{which.lower()}_proj.bias", HEAD_BIAS),
        ]
    table += [
        take(f"{at}.attn.W_O", f"{attention}.dense.weight", FROM_HEADS),
        take(f"{at}.attn.b_O", f"{attention}.dense.bias"),
        take(f"{at}.mlp.W_in", f"{their}.mlp.fc1.weight", LINEAR),
        take(f"{at}.mlp.b_in", f"{their}.mlp.fc1.bias"),
        take(f"{at}.mlp.W_out", f"{their}.mlp.fc2.weight", LINEAR),
        take(f"{at}.mlp.b_out", f"{their}.mlp.fc2.bias"),
        take("ln_final.w", "final_layernorm.weight"),
        take("ln_final.b", "final_layernorm.bias"),
        take("unembed.b_U", "lm_head.bias"),
    ]
    if cfg.use_qk_norm:
        for ours in ("q", "k"):
            table += [
                take(f"{at}.attn.{ours}_norm.w", f"{attention}.{ours}_layernorm.weight"),
                take(f"{at}.attn.{ours}_norm.b", f"{attention}.{ours}_layernorm.bias"),
            ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


FAMILY = Family(
    name="phi",
    architectures=("PhiForCausalLM",),
    model_types=("phi",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout", "resid_pdrop", "embd_pdrop"),
    ignored={
        r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq": "the rotary frequencies, which the config gives"
    },
    tied={"lm_head.weight": "embed_tokens.weight"},
    supports="partly rotated heads, normed queries and keys, grouped heads, tied or not",
    examples=("microsoft/phi-1", "microsoft/phi-1_5", "microsoft/phi-2"),
)
