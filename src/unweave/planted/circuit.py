"""The true circuit of a planted model, read off its weights and the owners of its coordinates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jaxtyping import Float
from torch import Tensor

from unweave.core.edges import Edge, Node
from unweave.model.transformer import HookedTransformer
from unweave.planted.basis import Coordinate

Reader = tuple[Node, str | None, Float[Tensor, "d_model read"]]


def true_edges(
    model: HookedTransformer, coordinates: Iterable[Coordinate]
) -> tuple[frozenset[Edge], frozenset[Edge]]:
    """All edges on a path to the logits, and those of them that carry something about the tokens.

    Each coordinate has one owner, which alone writes it. So an edge is there exactly where the
    receiver's weights read a coordinate that the sender owns.
    """
    coordinates = tuple(coordinates)
    edges: set[Edge] = set()
    varying: set[Edge] = set()
    reached = {Node("logits")}
    for receiver, which, weights in _readers_from_the_end(model):
        if receiver not in reached:
            continue
        for at in weights.ne(0).any(1).nonzero().flatten().tolist():
            owner = coordinates[at].owner
            assert owner is not None, "the program must not read what decoys write"
            edge = Edge(owner, receiver, which)
            edges.add(edge)
            reached.add(edge.sender)
            if coordinates[at].varies:
                varying.add(edge)
    return frozenset(edges), frozenset(varying)


def _readers_from_the_end(model: HookedTransformer) -> Iterator[Reader]:
    weights = dict(model.named_parameters())
    yield Node("logits"), None, weights["unembed.W_U"]
    for layer in reversed(range(model.cfg.n_layers)):
        if not model.cfg.attn_only:
            yield Node("mlp", layer), None, weights[f"blocks.{layer}.mlp.W_in"]
        for head in range(model.cfg.n_heads):
            for which in "qkv":
                read = weights[f"blocks.{layer}.attn.W_{which.upper()}"][head]
                yield Node("head", layer, head), which, read
