"""What a transformer has room for: its components in the order of a run, and who can read whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

from unweave.core.edges import Edge, Node, possible_edges
from unweave.core.errors import InputError, nearest


@dataclass(frozen=True)
class Reading:
    """The receivers that read the residual stream at one place, and the edges into them.

    Args:
        layer: the layer that must run for it; n_layers for the logits.
        input: "q", "k" or "v" of a layer's heads; "mlp" or "logits".
        n_receivers: heads; 1 for an MLP and for the logits.
        n_senders: how many of a run's first components have written by then.
        first: the number of the first of its edges.
        step: from a receiver's first edge to that of the next.
    """

    layer: int
    input: str
    n_receivers: int
    n_senders: int
    first: int
    step: int

    def numbers(self, receiver: int) -> range:
        """The edges into one of its receivers, in the order of senders."""
        start = self.first + receiver * self.step
        return range(start, start + self.n_senders)

    @property
    def name(self) -> str:
        """As edges end: `a1<q>` for all heads of layer 1, `m1`, `logits`."""
        if self.input == "logits":
            return self.input
        return f"m{self.layer}" if self.input == "mlp" else f"a{self.layer}<{self.input}>"


@dataclass(frozen=True)
class Shape:
    """Layers and heads, and what else decides which edges there can be.

    Args:
        mlp: whether layers have one.
        pos_embed: whether positions are a table that is added to the residual stream.
        parallel: whether a layer's MLP reads what its attention reads.

    Raises:
        InputError: for no layers or heads.
    """

    n_layers: int
    n_heads: int
    mlp: bool = True
    pos_embed: bool = True
    parallel: bool = False

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.n_heads < 1:
            raise InputError(
                wanted="at least one layer and one head",
                got=f"{self.n_layers} and {self.n_heads}",
                remedy="take the shape of a model",
            )

    @cached_property
    def senders(self) -> tuple[Node, ...]:
        """Every component that adds to the residual stream, in the order of a run."""
        found = [Node("embed"), *([Node("pos_embed")] if self.pos_embed else [])]
        for layer in range(self.n_layers):
            found += [Node("head", layer, head) for head in range(self.n_heads)]
            found += [Node("mlp", layer)] if self.mlp else []
        return tuple(found)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every edge that there is room for, in the order of `possible_edges`."""
        return _edges(self.n_layers, self.n_heads, self.mlp, self.pos_embed, self.parallel)

    @cached_property
    def number(self) -> Mapping[Edge, int]:
        """Where each edge stands in `edges`."""
        return {edge: number for number, edge in enumerate(self.edges)}

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Every place where the residual stream is read, in the order of a run."""
        found: list[Reading] = []
        first, n_senders, heads = 0, 1 + self.pos_embed, self.n_heads
        for layer in range(self.n_layers):
            found += [
                Reading(layer, which, heads, n_senders, first + at * n_senders, 3 * n_senders)
                for at, which in enumerate("qkv")
            ]
            first += 3 * heads * n_senders
            if self.mlp:
                read = n_senders if self.parallel else n_senders + heads
                found.append(Reading(layer, "mlp", 1, read, first, read))
                first += read
            n_senders += heads + self.mlp
        found.append(Reading(self.n_layers, "logits", 1, n_senders, first, n_senders))
        return tuple(found)

    def numbers(self, edges: Iterable[Edge | str]) -> list[int]:
        """The numbers of these edges, each an Edge or as it is written.

        Raises:
            InputError: for one that there is no room for.
        """
        found: list[int] = []
        for given in edges:
            edge = Edge.parse(given) if isinstance(given, str) else given
            if edge not in self.number:
                raise InputError(
                    wanted=f"an edge of a model of {self.n_layers} layers and {self.n_heads} heads",
                    got=str(edge),
                    remedy=f"nearest: {nearest(str(edge), map(str, self.edges))}",
                )
            found.append(self.number[edge])
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@lru_cache(maxsize=16)
def _edges(n_layers: int, n_heads: int, mlp: bool, pos_embed: bool, parallel: bool) -> tuple[Edge, ...]:
    """Once for all shapes that are alike: a large model has many."""
    return tuple(possible_edges(n_layers, n_heads, mlp=mlp, pos_embed=pos_embed, parallel=parallel))
