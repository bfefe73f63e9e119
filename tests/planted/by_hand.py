"""A transformer written out path by path, in which any edge can be given something else to carry."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unweave.core.edges import Edge, Node
from unweave.model.transformer import HookedTransformer

Sent = dict[Node, Tensor]


@torch.no_grad()
def run(
    model: HookedTransformer,
    tokens: Tensor,
    swap: Mapping[Edge, Tensor] | None = None,
    ablate: Mapping[Node, Tensor] | None = None,
) -> tuple[Tensor, Sent]:
    """Logits, and what every component added to the residual stream.

    Args:
        swap: what an edge carries in place of what its sender sent; every other edge is as it is.
        ablate: what a component sends in place of its own output, to everybody.
    """
    swap, ablate, cfg = swap or {}, ablate or {}, model.cfg
    sent: Sent = {}

    def read(receiver: Node, which: str | None = None) -> Tensor:
        stream = torch.stack(list(sent.values())).sum(0)
        for edge, carried in swap.items():
            if (edge.receiver, edge.input) == (receiver, which):
                stream = stream - sent[edge.sender] + carried
        return stream

    def send(node: Node, value: Tensor) -> None:
        pending[node] = ablate.get(node, value)

    pending: Sent = {}
    send(Node("embed"), model.embed.W_E[tokens])
    if cfg.positional_embedding_type == "standard":
        rows = model.pos_embed.W_pos[: tokens.shape[1]]
        send(Node("pos_embed"), rows.expand(len(tokens), -1, -1))
    sent |= pending
    n = tokens.shape[1]
    for layer, block in enumerate(model.blocks):
        attn, pending = block.attn, {}
        for number in range(cfg.n_heads):
            head = Node("head", layer, number)
            q, k, v = (
                read(head, which) @ getattr(attn, f"W_{which.upper()}")[number]
                + getattr(attn, f"b_{which.upper()}")[number]
                for which in "qkv"
            )
            scores = q @ k.mT
            if cfg.attention_dir == "causal":
                scores = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf)
            send(head, scores.softmax(-1) @ v @ attn.W_O[number])
        sent |= pending
        if not cfg.attn_only:
            mlp, node = block.mlp, Node("mlp", layer)
            sent[node] = ablate.get(node, (read(node) @ mlp.W_in + mlp.b_in).relu() @ mlp.W_out + mlp.b_out)
    return read(Node("logits")) @ model.unembed.W_U + model.unembed.b_U, sent
