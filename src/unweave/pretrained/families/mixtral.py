"""Mixtral (Jiang et al., 2024, arXiv:2401.04088): Mistral's layout, with a mixture of experts for each MLP."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import llama
from unweave.pretrained.family import Family, windows
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields
from unweave.pretrained.takes import LINEAR, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.MixtralConfig`. The weights of a token's experts sum to one."""
    fields = llama.sizes(
        c,
        hidden_size=4096,
        intermediate_size=14336,
        max_position_embeddings=131072,
        num_key_value_heads=8,
        rms_norm_eps=1e-5,
    )
    return {
        **fields,
        **rotary_fields(c, fields["d_head"], theta=1_000_000.0),
        **windows(["sliding_attention"] * fields["n_layers"], c.get("sliding_window", default=None)),
        "num_experts": c.count("num_local_experts", default=8),
        "experts_per_token": c.count("num_experts_per_tok", default=2),
        "norm_topk_prob": True,
        "without_biases": llama.EVERY_BIAS,
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.MixtralForCausalLM`.

    Files have a tensor for each expert's w1 (the gate), w3 (in) and w2 (out); a model in memory has
    those of all experts in one, gate and in together.
    """
    at, their = "blocks.{layer}.mlp", "layers.{layer}.block_sparse_moe"
    expert, theirs = f"{at}.experts.{{expert}}", f"{their}.experts.{{expert}}"
    both, down = "layers.{layer}.mlp.experts.gate_up_proj", "layers.{layer}.mlp.experts.down_proj"
    halves = "expert (gate_up d_mlp) d_model -> d_model d_mlp"
    in_memory = {
        "router": take(f"{at}.W_gate", "layers.{layer}.mlp.gate.weight", LINEAR),
        "W_gate": take(f"{expert}.W_gate", both, halves, expert=0, gate_up=0),
        "W_in": take(f"{expert}.W_in", both, halves, expert=0, gate_up=1),
        "W_out": take(f"{expert}.W_out", down, "expert d_model d_mlp -> d_mlp d_model", expert=0),
    }
    return [
        *(row for row in llama.weights(cfg) if not row.ours.startswith(f"{at}.")),
        take(f"{at}.W_gate", f"{their}.gate.weight", LINEAR, or_else=in_memory["router"]),
        take(f"{expert}.W_gate", f"{theirs}.w1.weight", LINEAR, or_else=in_memory["W_gate"]),
        take(f"{expert}.W_in", f"{theirs}.w3.weight", LINEAR, or_else=in_memory["W_in"]),
        take(f"{expert}.W_out", f"{theirs}.w2.weight", LINEAR, or_else=in_memory["W_out"]),
    ]


FAMILY = Family(
    name="mixtral",
    architectures=("MixtralForCausalLM",),
    model_types=("mixtral",),
    config=config,
    weights=weights,
    prefix="model.",
    inert={
        **because("dropout", "attention_dropout"),
        **because("noise of training", "router_jitter_noise"),
        **because("a loss of training, and what a run gives beside its logits", "router_aux_loss_coef"),
        **because("what a run gives beside its logits", "output_router_logits"),
    },
    ignored=llama.INV_FREQ,
    tied=llama.TIED,
    supports="any number of experts, windows, grouped heads, head size, tied or not",
    examples=("mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x22B-v0.1"),
)
