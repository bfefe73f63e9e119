"""Edge patching by its definition: one ordinary run with hooks, each cut edge taken out and put in by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from unweave.core.edges import Edge, Node
from unweave.model.transformer import HookedTransformer

Sent = dict[str, Tensor]


def sent(model: HookedTransformer, tokens: Tensor, **others: Any) -> Sent:
    """What every component adds to the residual stream in a run, by name."""
    found: Sent = {}
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=keepers(model, found), **others)
    return found


def keepers(model: HookedTransformer, found: Sent) -> list[Any]:
    def keep(tensor: Tensor, hook: Any) -> None:
        layer = hook.name.removeprefix("blocks.").split(".")[0]
        if hook.name.endswith("hook_result"):
            for head in range(model.cfg.n_heads):
                found[f"a{layer}.h{head}"] = tensor[:, :, head] * model.cfg.residual_multiplier
        elif hook.name.endswith("mlp_out"):
            found[f"m{layer}"] = tensor
        else:
            found[hook.name.removeprefix("hook_")] = tensor

    names = [name for name in model.hook_dict if name.endswith(("hook_result", "hook_mlp_out", "hook_embed"))]
    if model.cfg.positional_embedding_type in ("standard", "sinusoidal"):
        names.append("hook_pos_embed")
    return [(name, keep) for name in names]


def run(
    model: HookedTransformer,
    tokens: Tensor,
    instead: Mapping[str, Tensor],
    cut: Collection[Edge],
    *,
    stale: Sent | None = None,
    **others: Any,
) -> Tensor:
    """Logits with these edges cut.

    Args:
        instead: what each component sends along a cut edge.
        stale: the mistake of taking out what senders sent in another run (the clean one), not in this one.
    """
    now: Sent = {}

    def reader(layer: int | None, which: str | None) -> Any:
        def read(tensor: Tensor, hook: Any) -> Tensor:
            tensor = tensor.clone()
            for edge in cut:
                if (edge.receiver.layer, edge.input) != (layer, which):
                    continue
                sender = str(edge.sender)
                change = instead[sender] - (now if stale is None else stale)[sender]
                if edge.receiver.head is None:
                    tensor += change
                else:
                    tensor[:, :, edge.receiver.head] += change
            return tensor

        return read

    hooks = keepers(model, now)
    for layer in range(model.cfg.n_layers):
        hooks += [(f"blocks.{layer}.hook_{which}_input", reader(layer, which)) for which in "qkv"]
        if not model.cfg.attn_only:
            hooks.append((f"blocks.{layer}.hook_mlp_in", reader(layer, None)))
    hooks.append((f"blocks.{model.cfg.n_layers - 1}.hook_resid_post", reader(None, None)))
    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=hooks, **others)


def edges_of(model: HookedTransformer) -> list[Edge]:
    """Every edge, found by trying all pairs of components."""
    cfg = model.cfg
    added = cfg.positional_embedding_type in ("standard", "sinusoidal")
    senders = [Node("embed"), *([Node("pos_embed")] if added else [])]
    heads = [Node("head", layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    mlps = [] if cfg.attn_only else [Node("mlp", layer) for layer in range(cfg.n_layers)]
    found: list[Edge] = []
    for sender in (*senders, *heads, *mlps):
        for receiver in (*heads, *mlps, Node("logits")):
            beside = cfg.parallel_attn_mlp and sender.layer is not None and sender.layer == receiver.layer
            if sender.depth >= receiver.depth or beside:
                continue
            found += [
                Edge(sender, receiver, which) for which in ("qkv" if receiver.kind == "head" else (None,))
            ]
    return found
