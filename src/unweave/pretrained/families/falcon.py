"""Falcon (Almazrouei et al., 2023, arXiv:2311.16867): RW, 7B, 40B, 180B, and 11B."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import FROM_HEADS, LINEAR, Take, take

# The queries that share a key and value, then that key, then that value; and so for each group.
QKV = "(group member d_head) d_model -> (group member) d_model d_head"
QKV_BIAS = "(group member d_head) -> (group member) d_head"
ALIBI = {
    "positional_embedding_type": "alibi",
    "alibi_slopes": "nearest_power",
    "alibi_scaled": True,
    "alibi_rounded": True,
}


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.FalconConfig`."""
    d_model = c.count("hidden_size", "n_embed", default=4544)
    n_heads = c.count("num_attention_heads", default=71)
    biases = c.flag("bias", default=False)
    # Earlier versions could add a norm's output to the stream, which the model no longer reads.
    c.only("apply_residual_connection_post_layernorm", False, default=False)
    return {
        "n_layers": c.count("num_hidden_layers", default=32),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": c.get("ffn_hidden_size", default=None) or 4 * d_model,
        "n_ctx": c.count("max_position_embeddings", default=2048),
        "d_vocab": c.count("vocab_size", default=65024),
        "act_fn": c.text("activation", default="gelu"),
        "eps": c.number("layer_norm_epsilon", default=1e-5),
        "normalization_type": "LN",
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
        "without_biases": ("b_U",) if biases else ("b_Q", "b_K", "b_V", "b_O", "b_in", "b_out", "b_U"),
        **layout(c, n_heads),
        **positions(c, d_model // n_heads),
    }


def layout(c: ConfigReader, n_heads: int) -> dict[str, Any]:
    """How heads share keys, and whether attention and MLP are parallel.

    The number of norms is refused where it doesn't fit; otherwise the weights' names say it.
    """
    new = c.flag("new_decoder_architecture", default=False)
    parallel = c.flag("parallel_attn", default=True)
    multi_query = c.flag("multi_query", default=True)
    n_groups = c.get("num_kv_heads", default=None) or n_heads
    if not new and n_groups not in ((1, n_heads) if multi_query else (n_heads,)):
        c.refuse("num_kv_heads", "without new_decoder_architecture, heads share one key or have their own")
    if new and not parallel:
        c.refuse("parallel_attn", "new_decoder_architecture is parallel")
    n_norms = c.get("num_ln_in_parallel_attn", default=None)
    if n_norms not in ((None, 1, 2) if new else (None, 1)):
        c.refuse("num_ln_in_parallel_attn", "only 1, or 2 with new_decoder_architecture, is honoured")
    if not new and multi_query:
        n_groups = 1
    return {
        "parallel_attn_mlp": parallel,
        "n_key_value_heads": None if n_groups == n_heads else n_groups,
    }


def positions(c: ConfigReader, d_head: int) -> dict[str, Any]:
    """Rotary positions or ALiBi's; a table of rotary positions beside those would not be read."""
    rotary = rotary_fields(c, d_head)
    if not c.flag("alibi", default=False):
        return rotary
    if rotary != {"positional_embedding_type": "rotary", "rotary_base": 10_000.0}:
        for name in ("rope_theta", "rope_scaling", "rope_parameters"):
            if name in c.values:
                c.refuse(name, "positions are ALiBi's")
    return ALIBI


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.FalconForCausalLM`. Where attention and MLP read one norm, `ln1` and `ln2` are that one."""
    at, their = "blocks.{layer}", "h.{layer}"
    table = [take("embed.W_E", "word_embeddings.weight"), *norms(cfg)]
    table += grouped(cfg, f"{their}.self_attention.query_key_value")
    table += [
        take(f"{at}.attn.W_O", f"{their}.self_attention.dense.weight", FROM_HEADS),
        take(f"{at}.mlp.W_in", f"{their}.mlp.dense_h_to_4h.weight", LINEAR),
        take(f"{at}.mlp.W_out", f"{their}.mlp.dense_4h_to_h.weight", LINEAR),
        take("ln_final.w", "ln_f.weight"),
        take("ln_final.b", "ln_f.bias"),
    ]
    if "b_O" not in cfg.without_biases:
        table += [
            take(f"{at}.attn.b_O", f"{their}.self_attention.dense.bias"),
            take(f"{at}.mlp.b_in", f"{their}.mlp.dense_h_to_4h.bias"),
            take(f"{at}.mlp.b_out", f"{their}.mlp.dense_4h_to_h.bias"),
        ]
    if not cfg.tie_word_embeddings:
        table.append(take("unembed.W_U", "lm_head.weight", LINEAR))
    return table


def norms(cfg: HookedTransformerConfig) -> list[Take]:
    """One norm after another; or in parallel two, or one that both read."""
    table: list[Take] = []
    for ours, theirs in (("w", "weight"), ("b", "bias")):
        first, second = f"blocks.{{layer}}.ln1.{ours}", f"blocks.{{layer}}.ln2.{ours}"
        shared, after = (f"h.{{layer}}.{name}_layernorm.{theirs}" for name in ("input", "post_attention"))
        if cfg.parallel_attn_mlp:
            table += [
                take(first, f"h.{{layer}}.ln_attn.{theirs}", or_else=take(first, shared)),
                take(second, f"h.{{layer}}.ln_mlp.{theirs}", or_else=take(second, shared)),
            ]
        else:
            table += [take(first, shared), take(second, after)]
    return table


def grouped(cfg: HookedTransformerConfig, theirs: str) -> list[Take]:
    """Queries, keys and values of one linear map, in groups that share a key and a value.

    With a group a head it is each head's query, key and value in turn; with a single group all
    queries, the key, the value.
    """
    n_queries = cfg.n_heads // (cfg.n_key_value_heads or cfg.n_heads)
    members = {
        "Q": slice(0, n_queries),
        "K": slice(n_queries, n_queries + 1),
        "V": slice(n_queries + 1, None),
    }
    group = "" if cfg.n_key_value_heads is None else "_"
    table: list[Take] = []
    for letter, member in members.items():
        at = "blocks.{layer}.attn." + ("" if letter == "Q" else group)
        sizes = {"member": n_queries + 2}
        table.append(take(f"{at}W_{letter}", f"{theirs}.weight", QKV, sizes=sizes, member=member))
        if f"b_{letter}" not in cfg.without_biases:
            table.append(take(f"{at}b_{letter}", f"{theirs}.bias", QKV_BIAS, sizes=sizes, member=member))
    return table


FAMILY = Family(
    name="falcon",
    architectures=("FalconForCausalLM",),
    model_types=("falcon",),
    config=config,
    weights=weights,
    prefix="transformer.",
    inert={
        **because("dropout", "attention_dropout", "hidden_dropout"),
        **because("never read: ffn_hidden_size says it", "ff_factor"),
    },
    tied={"lm_head.weight": "word_embeddings.weight"},
    supports="one norm, two or in sequence; one key for all heads, for groups, or each; rotary or ALiBi; biases",
    examples=("tiiuae/falcon-rw-1b", "tiiuae/falcon-7b", "tiiuae/falcon-40b", "tiiuae/falcon-11B"),
)
