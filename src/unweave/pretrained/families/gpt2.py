"""GPT-2 (Radford et al., 2019), and DistilGPT-2, and whatever else is laid out like it."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import Take, take

# Its linear maps are `[in, out]`, as the model's own.
QKV = "d_model (qkv head d_head) -> head d_model d_head"
QKV_BIAS = "(qkv head d_head) -> head d_head"


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GPT2Config`."""
    d_model, n_heads = c.count("n_embd", default=768), c.count("n_head", default=12)
    return {
        "n_layers": c.count("n_layer", default=12),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": c.get("n_inner", default=None) or 4 * d_model,
        "n_ctx": c.count("n_positions", default=1024),
        "d_vocab": c.count("vocab_size", default=50257),
        "act_fn": c.text("activation_function", default="gelu_new"),
        "eps": c.number("layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "positional_embedding_type": "standard",
        "use_attn_scale": c.flag("scale_attn_weights", default=True),
        "scale_attn_by_inverse_layer_idx": c.flag("scale_attn_by_inverse_layer_idx", default=False),
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
        "without_biases": ("b_U",),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.GPT2LMHeadModel`."""
    table = [
        take("embed.W_E", "wte.weight"),
        take("pos_embed.W_pos", "wpe.weight"),
        take("blocks.{layer}.ln1.w", "h.{layer}.ln_1.weight"),
        take("blocks.{layer}.ln1.b", "h.{layer}.ln_1.bias"),
        take("blocks.{layer}.attn.W_Q", "h.{layer}.attn.c_attn.weight", QKV, qkv=0),
        take("blocks.{layer}.attn.W_K", "h.{layer}.attn.c_attn.weight", QKV, qkv=1),
        take("blocks.{layer}.attn.W_V", "h.{layer}.attn.c_attn.weight", QKV, qkv=2),
        take("blocks.{layer}.attn.b_Q", "h.{layer}.attn.c_attn.bias", QKV_BIAS, qkv=0),
        take("blocks.{layer}.attn.b_K", "h.{layer}.attn.c_attn.bias", QKV_BIAS, qkv=1),
        take("blocks.{layer}.attn.b_V", "h.{layer}.attn.c_attn.bias", QKV_BIAS, qkv=2),
        take(
            "blocks.{layer}.attn.W_O",
            "h.{layer}.attn.c_proj.weight",
            "(head d_head) d_model -> head d_head d_model",
        ),
        take("blocks.{layer}.attn.b_O", "h.{layer}.attn.c_proj.bias"),
        take("blocks.{layer}.ln2.w", "h.{layer}.ln_2.weight"),
        take("blocks.{layer}.ln2.b", "h.{layer}.ln_2.bias"),
        take("blocks.{layer}.mlp.W_in", "h.{layer}.mlp.c_fc.weight"),
        take("blocks.{layer}.mlp.b_in", "h.{layer}.mlp.c_fc.bias"),
        take("blocks.{layer}.mlp.W_out", "h.{layer}.mlp.c_proj.weight"),
        take("blocks.{layer}.mlp.b_out", "h.{layer}.mlp.c_proj.bias"),
        take("ln_final.w", "ln_f.weight"),
        take("ln_final.b", "ln_f.bias"),
    ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", "d_vocab d_model -> d_model d_vocab"))
    return table


FAMILY = Family(
    name="gpt2",
    architectures=("GPT2LMHeadModel",),
    model_types=("gpt2",),
    config=config,
    weights=weights,
    prefix="transformer.",
    inert={
        **because("dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop"),
        **because("where 16-bit models round; the function is the same", "reorder_and_upcast_attn"),
        **because("never read", "n_ctx", "n_special", "predict_special_tokens"),
    },
    ignored={r"h\.\d+\.attn\.(masked_)?bias": "the causal mask, which older files hold"},
    tied={"lm_head.weight": "wte.weight"},
    supports="tied or not, scaling by layer, any inner size",
    examples=("gpt2", "gpt2-xl", "distilgpt2", "stanford-crfm/alias-gpt2-small-x21"),
)
