"""A circuit: a set of edges of a model's shape, as a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unweave.core.edges import Edge, Node
from unweave.core.errors import InputError
from unweave.core.files import file_atomic
from unweave.core.registry import reach
from unweave.core.results import json_ready
from unweave.core.shape import Shape

FORMAT, FORMAT_VERSION = "unweave-circuit", 1


@dataclass(frozen=True)
class Circuit:
    """Edges, and the shape of the models that have them. Equal if both are.

    The claim that a circuit makes: the model does what it does with every *other* edge ablated.

    Args:
        edges: `Edge`s, or edges as they are written.
        provenance: how it was found: JSON values.
        warnings: what a reader must know before using it.

    Raises:
        InputError: for an edge that there is no room for.
    """

    edges: frozenset[Edge]
    shape: Shape
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, edges: Iterable[Edge | str], shape: Shape, **told: Any) -> Circuit:
        """The circuit of these edges, each an Edge or as it is written.

        Raises:
            InputError: for one that there is no room for.
        """
        return cls(frozenset(shape.edges[number] for number in shape.numbers(edges)), shape, **told)

    def __post_init__(self) -> None:
        self.shape.numbers(self.edges)

    def __len__(self) -> int:
        return len(self.edges)

    def __iter__(self) -> Iterator[Edge]:
        """Its edges, in the order of a run."""
        return iter(sorted(self.edges, key=self.shape.number.__getitem__))

    def __contains__(self, edge: object) -> bool:
        return (Edge.parse(edge) if isinstance(edge, str) else edge) in self.edges

    def __repr__(self) -> str:
        warned = "".join(f"\n  warning: {text}" for text in self.warnings)
        return f"Circuit of {len(self)} of {len(self.shape.edges)} edges, {len(self.nodes)} nodes{warned}"

    def __and__(self, other: Circuit) -> Circuit:
        return self._made(self.edges & self._fitting(other).edges)

    def __or__(self, other: Circuit) -> Circuit:
        return self._made(self.edges | self._fitting(other).edges)

    def __sub__(self, other: Circuit) -> Circuit:
        return self._made(self.edges - self._fitting(other).edges)

    def __xor__(self, other: Circuit) -> Circuit:
        return self._made(self.edges ^ self._fitting(other).edges)

    def __le__(self, other: Circuit) -> bool:
        return self.edges <= self._fitting(other).edges

    @property
    def complement(self) -> Circuit:
        """Every other edge."""
        return self._made(frozenset(self.shape.edges) - self.edges)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The components at the ends of its edges, in the order of a run."""
        ends = {node for edge in self.edges for node in (edge.sender, edge.receiver)}
        return tuple(sorted(ends, key=lambda node: (node.depth, node.head or 0, str(node))))

    def pruned(self) -> Circuit:
        """Without edges that dangle: those not on any way, along its edges, from an embedding to the logits.

        Where cut edges carry another run's values, what dangles makes no difference: a component that
        reads nothing of this run sends what it sends in the other one. With zeros or means it may.
        """
        reached = {Node("embed"), Node("pos_embed")}
        for edge in sorted(self.edges, key=lambda edge: edge.receiver.depth):
            if edge.sender in reached:
                reached.add(edge.receiver)
        used = {Node("logits")}
        for edge in sorted(self.edges, key=lambda edge: -edge.receiver.depth):
            if edge.receiver in used:
                used.add(edge.sender)
        return self._made(frozenset(e for e in self.edges if e.sender in reached and e.receiver in used))

    def with_provenance(self, provenance: Mapping[str, Any], warnings: Iterable[str] = ()) -> Circuit:
        """The same edges, found so."""
        return replace(self, provenance=provenance, warnings=tuple(warnings))

    def plot(self, **options: Any) -> Any:
        """A plotly figure: components in layers from the embeddings up to the logits, edges between them."""
        return reach("plot a circuit")(self, **options)

    def save(self, path: str | Path) -> None:
        """Write it as JSON; a file of that name is replaced in one step."""
        told = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "shape": self.shape.to_json(),
            "edges": [str(edge) for edge in self],
            "provenance": json_ready(self.provenance),
            "warnings": list(self.warnings),
        }
        with file_atomic(Path(path)) as part:
            part.write_text(json.dumps(told, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Circuit:
        """Open a file that `save` wrote.

        Raises:
            InputError: if it is missing, no such file, or of a newer format.
        """
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
            known = told["format"] == FORMAT and told["format_version"] == FORMAT_VERSION
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, str(error) or type(error).__name__) from error
        if not known:
            raise _unreadable(path, f"{told['format']} of version {told['format_version']}")
        return cls.of(
            told["edges"],
            Shape(**told["shape"]),
            provenance=told["provenance"],
            warnings=tuple(told["warnings"]),
        )

    def _made(self, edges: frozenset[Edge]) -> Circuit:
        return Circuit(edges, self.shape)

    def _fitting(self, other: Circuit) -> Circuit:
        if other.shape != self.shape:
            raise InputError(
                wanted=f"circuits of one shape, {self.shape}",
                got=str(other.shape),
                remedy="compare like with like",
            )
        return other


def _unreadable(path: str | Path, got: str) -> InputError:
    return InputError(
        wanted=f"{FORMAT} of version {FORMAT_VERSION} in {path}",
        got=got,
        remedy="name a file that circuit.save wrote",
    )
