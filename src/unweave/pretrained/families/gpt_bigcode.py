"""GPT-BigCode: SantaCoder (Ben Allal et al., 2023, arXiv:2301.03988), StarCoder (Li et al., 2023, arXiv:2305.06161)."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families.falcon import grouped
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import FROM_HEADS, LINEAR, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GPTBigCodeConfig`."""
    d_model, n_heads = c.count("n_embd", default=768), c.count("n_head", default=12)
    n_groups = 1 if c.flag("multi_query", default=True) else n_heads
    # Written out by transformers, from multi_query.
    c.only("num_key_value_heads", n_groups, default=n_groups)
    return {
        "n_layers": c.count("n_layer", default=12),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "n_key_value_heads": None if n_groups == n_heads else n_groups,
        "d_mlp": c.get("n_inner", default=None) or 4 * d_model,
        "n_ctx": c.count("n_positions", default=1024),
        "d_vocab": c.count("vocab_size", default=50257),
        "act_fn": c.text("activation_function", default="gelu_pytorch_tanh"),
        "eps": c.number("layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "positional_embedding_type": "standard",
        "use_attn_scale": c.flag("scale_attn_weights", default=True),
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
        "without_biases": ("b_U",),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.GPTBigCodeForCausalLM`. Unlike GPT-2's, its maps are torch's."""
    at, their = "blocks.{layer}", "h.{layer}"
    table = [
        take("embed.W_E", "wte.weight"),
        take("pos_embed.W_pos", "wpe.weight"),
        take(f"{at}.ln1.w", f"{their}.ln_1.weight"),
        take(f"{at}.ln1.b", f"{their}.ln_1.bias"),
        *grouped(cfg, f"{their}.attn.c_attn"),
        take(f"{at}.attn.W_O", f"{their}.attn.c_proj.weight", FROM_HEADS),
        take(f"{at}.attn.b_O", f"{their}.attn.c_proj.bias"),
        take(f"{at}.ln2.w", f"{their}.ln_2.weight"),
        take(f"{at}.ln2.b", f"{their}.ln_2.bias"),
        take(f"{at}.mlp.W_in", f"{their}.mlp.c_fc.weight", LINEAR),
        take(f"{at}.mlp.b_in", f"{their}.mlp.c_fc.bias"),
        take(f"{at}.mlp.W_out", f"{their}.mlp.c_proj.weight", LINEAR),
        take(f"{at}.mlp.b_out", f"{their}.mlp.c_proj.bias"),
        take("ln_final.w", "ln_f.weight"),
        take("ln_final.b", "ln_f.bias"),
    ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


FAMILY = Family(
    name="gpt_bigcode",
    architectures=("GPTBigCodeForCausalLM", "GPTBigCodeLMHeadModel"),
    model_types=("gpt_bigcode",),
    config=config,
    weights=weights,
    prefix="transformer.",
    inert={
        **because("dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop"),
        **because("where 16-bit models round; the function is the same", "attention_softmax_in_fp32"),
        **because("where 16-bit models round; the function is the same", "scale_attention_softmax_in_fp32"),
        **because("settings of an inference server", "inference_runner", "validate_runner_input"),
        **because("settings of an inference server", "pre_allocate_kv_cache", "pad_key_length"),
        **because("settings of an inference server", "max_batch_size", "max_sequence_length"),
    },
    ignored={r"h\.\d+\.attn\.(masked_)?bias": "the causal mask, which older files hold"},
    tied={"lm_head.weight": "wte.weight"},
    supports="one key for all heads or one each, any inner size, tied or not",
    examples=("bigcode/gpt_bigcode-santacoder", "bigcode/starcoderbase-1b", "bigcode/tiny_starcoder_py"),
)
