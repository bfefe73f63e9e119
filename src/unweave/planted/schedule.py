"""Which head or MLP computes which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unweave.core.edges import Node
from unweave.planted.language import Aggregate, Elementwise, Op, Present, SelectorWidth, indices, tokens


@dataclass(frozen=True)
class Place:
    """The components of a step: a head, an MLP, or, for a width, both."""

    head: Node | None = None
    mlp: Node | None = None

    @property
    def last(self) -> Node:
        """The one that writes the step's result."""
        node = self.mlp or self.head
        assert node is not None
        return node


def schedule(steps: Sequence[Op]) -> dict[Op, Place]:
    """The first place at which each step's inputs are there; heads of a layer in the order of steps.

    Steps that only read otherwise what is there (`relabel`, sums) have no place.
    """
    ready: dict[Op, int] = {}
    heads_in: dict[int, int] = {}
    places: dict[Op, Place] = {}
    for op in steps:
        available = max((ready[source] for source in op.inputs), default=-1)
        head = mlp = None
        if isinstance(op, (Aggregate, SelectorWidth)):
            layer = available // 2 + 1
            head = Node("head", layer, heads_in.get(layer, 0))
            heads_in[layer] = heads_in.get(layer, 0) + 1
            available = head.depth
        if isinstance(op, (Elementwise, Present, SelectorWidth)):
            mlp = Node("mlp", (available + 1) // 2)
            available = mlp.depth
        ready[op] = available
        if head or mlp:
            places[op] = Place(head, mlp)
        elif op is tokens or op is indices:
            places[op] = Place(mlp=Node("embed" if op is tokens else "pos_embed"))
    return places
