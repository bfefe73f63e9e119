"""GPT-J (Wang & Komatsuzaki, 2021, https://github.com/kingoflolz/mesh-transformer-jax)."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import FROM_HEADS, LINEAR, TO_HEADS, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GPTJConfig`."""
    d_model, n_heads = c.count("n_embd", default=4096), c.count("n_head", default=16)
    tied = c.flag("tie_word_embeddings", default=False)
    return {
        "n_layers": c.count("n_layer", default=28),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": c.get("n_inner", default=None) or 4 * d_model,
        "n_ctx": c.count("n_positions", default=2048),
        "d_vocab": c.count("vocab_size", default=50400),
        "act_fn": c.text("activation_function", default="gelu_new"),
        "eps": c.number("layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "parallel_attn_mlp": True,
        "positional_embedding_type": "rotary",
        "rotary_dim": c.count("rotary_dim", default=64),
        "rotary_adjacent_pairs": True,
        "tie_word_embeddings": tied,
        "without_biases": ("b_Q", "b_K", "b_V", "b_O"),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.GPTJForCausalLM`. Attention and MLP read one norm: `ln1` and `ln2` are both that one."""
    at, their = "blocks.{layer}", "h.{layer}"
    table = [
        take("embed.W_E", "wte.weight"),
        take(f"{at}.ln1.w", f"{their}.ln_1.weight"),
        take(f"{at}.ln1.b", f"{their}.ln_1.bias"),
        take(f"{at}.attn.W_Q", f"{their}.attn.q_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_K", f"{their}.attn.k_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_V", f"{their}.attn.v_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_O", f"{their}.attn.out_proj.weight", FROM_HEADS),
        take(f"{at}.ln2.w", f"{their}.ln_1.weight"),
        take(f"{at}.ln2.b", f"{their}.ln_1.bias"),
        take(f"{at}.mlp.W_in", f"{their}.mlp.fc_in.weight", LINEAR),
        take(f"{at}.mlp.b_in", f"{their}.mlp.fc_in.bias"),
        take(f"{at}.mlp.W_out", f"{their}.mlp.fc_out.weight", LINEAR),
        take(f"{at}.mlp.b_out", f"{their}.mlp.fc_out.bias"),
        take("ln_final.w", "ln_f.weight"),
        take("ln_final.b", "ln_f.bias"),
        take("unembed.b_U", "lm_head.bias"),
    ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


FAMILY = Family(
    name="gptj",
    architectures=("GPTJForCausalLM",),
    model_types=("gptj",),
    config=config,
    weights=weights,
    prefix="transformer.",
    inert={
        **because("dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop"),
        **because("never read", "n_ctx", "rotary", "gradient_checkpointing"),
        **because("GPT-2's, and never read here", "scale_attn_weights"),
    },
    ignored={r"h\.\d+\.attn\.(masked_)?bias": "the causal mask, which older files hold"},
    tied={"lm_head.weight": "wte.weight"},
    supports="parallel layers with one norm, partly rotated heads, any inner size",
    examples=("EleutherAI/gpt-j-6b",),
)
