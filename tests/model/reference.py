"""The transformer once more, from its formulas: float64, one head at a time, no hooks, nothing shared."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ACTIVATIONS = {
    "relu": lambda x: x * (x > 0),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


def run_reference(
    config: dict, weights: dict[str, Tensor], tokens: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and every activation under its TransformerLens name."""
    weights = {name: weight.detach().double() for name, weight in weights.items()}
    acts: dict[str, Tensor] = {}
    x = acts["hook_embed"] = torch.stack(
        [torch.stack([weights["embed.W_E"][t] for t in row]) for row in tokens]
    )
    if config["positional_embedding_type"] != "none":
        x = x + positions(config, weights, x, acts)
    for layer in range(config["n_layers"]):
        x = block(config, weights, x, acts, f"blocks.{layer}.")
    final = norm(config, weights, x, acts, "ln_final.")
    return final @ weights["unembed.W_U"] + weights["unembed.b_U"], acts


def positions(config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor]) -> Tensor:
    n_pos, d_model = x.shape[1:]
    if config["positional_embedding_type"] == "standard":
        table = weights["pos_embed.W_pos"][:n_pos]
    else:
        table = torch.zeros(n_pos, d_model, dtype=torch.float64)
        for i in range(n_pos):
            for d in range(d_model):
                angle = i / 10_000 ** ((d - d % 2) / d_model)
                table[i, d] = math.sin(angle) if d % 2 == 0 else math.cos(angle)
    acts["hook_pos_embed"] = torch.stack([table] * len(x))
    return acts["hook_pos_embed"]


def block(config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], at: str) -> Tensor:
    acts[at + "hook_resid_pre"] = x
    normed = norm(config, weights, x, acts, at + "ln1.")
    acts[at + "hook_attn_out"] = attention(config, weights, normed, acts, at + "attn.")
    x = x + acts[at + "hook_attn_out"]
    if not config["attn_only"]:
        acts[at + "hook_resid_mid"] = x
        normed = norm(config, weights, x, acts, at + "ln2.")
        mlp = {name: weights[f"{at}mlp.{name}"] for name in ("W_in", "b_in", "W_out", "b_out")}
        pre = acts[at + "mlp.hook_pre"] = normed @ mlp["W_in"] + mlp["b_in"]
        post = acts[at + "mlp.hook_post"] = ACTIVATIONS[config["act_fn"]](pre)
        acts[at + "hook_mlp_out"] = post @ mlp["W_out"] + mlp["b_out"]
        x = x + acts[at + "hook_mlp_out"]
    acts[at + "hook_resid_post"] = x
    return x


def attention(
    config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], at: str
) -> Tensor:
    n_pos, d_head = x.shape[1], config["d_head"]
    heads: dict[str, list[Tensor]] = {
        name: [] for name in ("q", "k", "v", "attn_scores", "pattern", "z", "result")
    }
    for head in range(config["n_heads"]):
        q, k, v = (x @ weights[f"{at}W_{n}"][head] + weights[f"{at}b_{n}"][head] for n in "QKV")
        scores = q @ k.transpose(-1, -2) / math.sqrt(d_head)
        for query in range(n_pos):
            scores[:, query, query + 1 :] = -math.inf
        weighted = scores.exp()
        pattern = weighted / weighted.sum(-1, keepdim=True)
        z = pattern @ v
        made = (q, k, v, scores, pattern, z, z @ weights[f"{at}W_O"][head])
        for name, value in zip(heads, made, strict=True):
            heads[name].append(value)
    for name, values in heads.items():
        dim = 1 if name in ("attn_scores", "pattern") else 2
        acts[f"{at}hook_{name}"] = torch.stack(values, dim)
    return sum(heads["result"]) + weights[f"{at}b_O"]


def norm(config: dict, weights: dict[str, Tensor], x: Tensor, acts: dict[str, Tensor], at: str) -> Tensor:
    kind = config["normalization_type"]
    if kind is None:
        return x
    if kind.startswith("LN") and not (at == "ln_final." and config.get("final_rms")):
        x = x - x.sum(-1, keepdim=True) / x.shape[-1]
    square = (x**2).sum(-1, keepdim=True) / x.shape[-1]
    acts[at + "hook_scale"] = torch.sqrt(square + config["eps"])
    acts[at + "hook_normalized"] = x / acts[at + "hook_scale"]
    return acts[at + "hook_normalized"] * weights.get(at + "w", 1.0) + weights.get(at + "b", 0.0)
