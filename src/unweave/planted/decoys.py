"""Heads that look busy and do nothing: what a technique should reject."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from unweave.core.edges import Node
from unweave.core.seeds import generator
from unweave.planted.basis import Coordinate
from unweave.planted.heads import Head, Match, Move

# Coordinates that decoys write to, and only decoys read.
WIDTH = 4


def shuffled(nodes: Iterable[Node], n_heads: int, seed: int) -> dict[Node, Node]:
    """Where each of the program's heads goes, among `n_heads` in its layer."""
    heads = [node for node in nodes if node.kind == "head"]
    orders: dict[int, list[int]] = {}
    for node in heads:
        assert node.layer is not None
        source = generator(seed, "planted decoys", "order", node.layer)
        orders.setdefault(node.layer, torch.randperm(n_heads, generator=source).tolist())
    return {node: Node("head", node.layer, orders[node.layer or 0][node.head or 0]) for node in heads}


def coordinates() -> list[Coordinate]:
    """The decoys' own coordinates; no other component writes or reads them."""
    return [Coordinate(f"decoy:{at}", None, True) for at in range(WIDTH)]


def decoy(place: Node, d_model: int, d_head: int, seed: int) -> Head:
    """A head with normal weights that reads all of the stream, and writes to the last coordinates alone.

    Queries and keys are scaled such that scores are of size 1 to 2 for a few active coordinates.
    """
    source = generator(seed, "planted decoys", str(place))

    def drawn(rows: int, columns: int) -> list[list[float]]:
        return torch.randn(rows, columns, generator=source, dtype=torch.float64).tolist()

    everywhere, own = range(d_model), range(d_model - WIDTH, d_model)
    spread = d_head**-0.25
    matches = [
        Match(_scaled(everywhere, query, spread), 0.0, _scaled(everywhere, key, spread))
        for query, key in zip(drawn(d_head, d_model), drawn(d_head, d_model), strict=True)
    ]
    moves = [
        Move(_scaled(everywhere, read, 1.0), _scaled(own, write, 1.0 / math.sqrt(d_head)))
        for read, write in zip(drawn(d_head, d_model), drawn(d_head, WIDTH), strict=True)
    ]
    return Head(tuple(matches), tuple(moves))


def _scaled(at: Iterable[int], values: Iterable[float], factor: float) -> dict[int, float]:
    return {index: factor * value for index, value in zip(at, values, strict=True)}
