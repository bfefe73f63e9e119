"""GPT-Neo (Black et al., 2021, https://github.com/EleutherAI/gpt-neo), and TinyStories' models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import FROM_HEADS, LINEAR, TO_HEADS, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.GPTNeoConfig`. Scores are not divided by anything."""
    d_model, n_heads = c.count("hidden_size", default=2048), c.count("num_heads", default=16)
    n_layers = c.count("num_layers", default=24)
    window = c.count("window_size", default=256)
    types = layer_types(c, n_layers)
    return {
        "n_layers": n_layers,
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": c.get("intermediate_size", default=None) or 4 * d_model,
        "n_ctx": c.count("max_position_embeddings", default=2048),
        "d_vocab": c.count("vocab_size", default=50257),
        "act_fn": c.text("activation_function", default="gelu_new"),
        "eps": c.number("layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "positional_embedding_type": "standard",
        "use_attn_scale": False,
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
        "without_biases": ("b_Q", "b_K", "b_V", "b_U"),
        **({"use_local_attn": True, "window_size": window, "attn_types": types} if "local" in types else {}),
    }


def layer_types(c: ConfigReader, n_layers: int) -> tuple[str, ...]:
    """Which layers are "global" and which "local", from `attention_types`: pairs of a pattern and how often it comes.

    Raises:
        InputError: for other words, or another number of layers.
    """
    pairs: Sequence[tuple[Sequence[str], int]] = c.get("attention_types", default=None) or [
        (["global", "local"], 12)
    ]
    spelled = [kind for pattern, times in pairs for _ in range(times) for kind in pattern]
    # Written out by transformers; the pairs are what it reads.
    listed: Sequence[str] = c.get("attention_layers", default=spelled)
    if list(listed) != spelled:
        c.refuse("attention_layers", "attention_types says otherwise")
    if len(spelled) != n_layers or not set(spelled) <= {"global", "local"}:
        raise InputError(
            wanted=f"attention_types of 'global' and 'local' for {n_layers} layers in {c.where}",
            got=repr(pairs),
            remedy="take the config.json that belongs to the model",
        )
    return tuple(spelled)


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.GPTNeoForCausalLM`."""
    at, their = "blocks.{layer}", "h.{layer}"
    attention = f"{their}.attn.attention"
    table = [
        take("embed.W_E", "wte.weight"),
        take("pos_embed.W_pos", "wpe.weight"),
        take(f"{at}.ln1.w", f"{their}.ln_1.weight"),
        take(f"{at}.ln1.b", f"{their}.ln_1.bias"),
        take(f"{at}.attn.W_Q", f"{attention}.q_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_K", f"{attention}.k_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_V", f"{attention}.v_proj.weight", TO_HEADS),
        take(f"{at}.attn.W_O", f"{attention}.out_proj.weight", FROM_HEADS),
        take(f"{at}.attn.b_O", f"{attention}.out_proj.bias"),
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
    name="gpt_neo",
    architectures=("GPTNeoForCausalLM",),
    model_types=("gpt_neo",),
    config=config,
    weights=weights,
    prefix="transformer.",
    inert=because("dropout", "resid_dropout", "embed_dropout", "attention_dropout"),
    ignored={r"h\.\d+\.attn\.attention\.(masked_)?bias": "the causal mask, which older files hold"},
    tied={"lm_head.weight": "wte.weight"},
    supports="global and windowed layers in any order, any inner size, tied or not",
    examples=("EleutherAI/gpt-neo-125m", "roneneldan/TinyStories-33M", "EleutherAI/gpt-neo-2.7B"),
)
