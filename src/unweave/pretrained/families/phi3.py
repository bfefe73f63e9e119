"""Phi-3, 3.5 and 4 (Abdin et al., 2024, arXiv:2404.14219): LLaMA's layout in fewer tensors, windows, LongRoPE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import llama
from unweave.pretrained.family import Family, windows
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import TO_HEADS, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Phi3Config`."""
    fields = llama.sizes(
        c,
        vocab_size=32064,
        hidden_size=3072,
        intermediate_size=8192,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    # Phi-4-mini's, which only its own code of old could read otherwise.
    for name in ("full_attn_mod", "interpolate_factor"):
        c.only(name, 1, None, default=1)
    as_today(c)
    return {
        **fields,
        **rotary_fields(c, fields["d_head"], partial=1.0),
        **windows(["sliding_attention"] * fields["n_layers"], c.get("sliding_window", default=None)),
        "without_biases": llama.EVERY_BIAS,
    }


def as_today(c: ConfigReader) -> None:
    """What transformers takes an older file to mean: "su" and "yarn" were LongRoPE's names, and the length
    that the model was trained on has a default.
    """
    original = c.count("original_max_position_embeddings", default=4096)
    c.values.setdefault("original_max_position_embeddings", original)
    for name in ("rope_scaling", "rope_parameters"):
        table = c.values.get(name)
        if isinstance(table, Mapping):
            older = {key: "longrope" for key in ("type", "rope_type") if table.get(key) in ("su", "yarn")}
            c.values[name] = {**table, **older}


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.Phi3ForCausalLM`: queries, keys and values in one tensor, gate and in in another."""
    at, their = "blocks.{layer}", "layers.{layer}"
    qkv, gate_up = f"{their}.self_attn.qkv_proj.weight", f"{their}.mlp.gate_up_proj.weight"
    group = "" if cfg.n_key_value_heads is None else "_"
    queries, keys = cfg.n_heads * cfg.d_head, (cfg.n_key_value_heads or cfg.n_heads) * cfg.d_head
    halves = "(gate_up d_mlp) d_model -> d_model d_mlp"
    packed = {
        f"{at}.attn.W_Q": take(f"{at}.attn.W_Q", qkv, TO_HEADS, rows=(0, queries)),
        f"{at}.attn.{group}W_K": take(f"{at}.attn.{group}W_K", qkv, TO_HEADS, rows=(queries, queries + keys)),
        f"{at}.attn.{group}W_V": take(f"{at}.attn.{group}W_V", qkv, TO_HEADS, rows=(queries + keys, None)),
        f"{at}.mlp.W_gate": take(f"{at}.mlp.W_gate", gate_up, halves, gate_up=0),
        f"{at}.mlp.W_in": take(f"{at}.mlp.W_in", gate_up, halves, gate_up=1),
    }
    return [packed.get(row.ours, row) for row in llama.weights(cfg)]


FAMILY = Family(
    name="phi3",
    architectures=("Phi3ForCausalLM",),
    model_types=("phi3",),
    config=config,
    weights=weights,
    prefix="model.",
    inert=because("dropout", "attention_dropout", "resid_pdrop", "embd_pdrop"),
    ignored=llama.INV_FREQ,
    tied=llama.TIED,
    supports="LongRoPE, windows, partly rotated heads, grouped heads, tied or not",
    examples=("microsoft/Phi-3-mini-4k-instruct", "microsoft/phi-4", "microsoft/Phi-4-mini-instruct"),
)
