"""The residual stream's coordinates, each with a name, an owner that writes it, and readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unweave.core.edges import Node
from unweave.core.errors import InputError
from unweave.planted.language import (
    Aggregate,
    Op,
    Relabel,
    Selector,
    SelectorWidth,
    Sum,
    Value,
    indices,
    tokens,
)
from unweave.planted.schedule import Place
from unweave.planted.values import Values, as_number, depends_on_tokens

# A linear function of the residual stream, or a vector in it: coefficients by coordinate.
Row = dict[int, float]


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of the residual stream.

    Args:
        owner: the one component that writes it; None for those that decoys share.
        varies: whether what stands there depends on the tokens; BOS and positions don't.
    """

    name: str
    owner: Node | None
    varies: bool


@dataclass(frozen=True)
class Basis:
    """Every coordinate, and how each step's values are read from them.

    Args:
        written: for each step that has a component, the coordinate of each value; of a number, the
            coordinate under None.
        shares: of each width, the coordinate through which its head speaks to its MLP.
        bos: the coordinate that is 1 at BOS, as `tokens` or `indices` know it.
    """

    coordinates: tuple[Coordinate, ...]
    written: Mapping[Op, Mapping[Value, int]]
    shares: Mapping[Op, int]
    bos: Mapping[Op, int]

    def __len__(self) -> int:
        return len(self.coordinates)

    def rows(self, op: Op) -> dict[Value, Row]:
        """How each value of `op` is read; the row of a number stands under None."""
        if op in self.written:
            return {value: {at: 1.0} for value, at in self.written[op].items()}
        if isinstance(op, Relabel):
            return self._relabelled(op)
        assert isinstance(op, Sum)
        found: dict[Value, Row] = {}
        for term, weight in op.terms:
            for value, row in self.rows(term).items():
                add(found.setdefault(value, {}), row, weight)
        return found

    def number(self, op: Op) -> Row:
        """How a number is read."""
        assert op.numerical
        return self.rows(op)[None]

    def bos_beside(self, selector: Selector) -> int:
        """BOS's coordinate where the keys are read anyway, so that a head needs no more inputs."""
        return self.bos[indices if selector.keys is indices or selector.prefer else tokens]

    def _relabelled(self, op: Relabel) -> dict[Value, Row]:
        found: dict[Value, Row] = {None: {}} if op.numerical else {}
        for value, row in self.rows(op.source).items():
            new = op.f(value)
            if op.numerical:
                add(found[None], row, as_number(op, new))
            elif new is not None:
                add(found.setdefault(new, {}), row, 1.0)
        return found


def add(into: Row, row: Row, weight: float) -> None:
    """Add a multiple of `row`, in place."""
    for at, coefficient in row.items():
        into[at] = into.get(at, 0.0) + weight * coefficient


def lay_out(steps: Sequence[Op], places: Mapping[Op, Place], values: Values) -> Basis:
    """A coordinate for every value of every step that has a component, and for BOS."""
    names = step_names(steps)
    coordinates: list[Coordinate] = []
    written: dict[Op, dict[Value, int]] = {}
    shares: dict[Op, int] = {}
    bos: dict[Op, int] = {}

    def new(name: str, owner: Node, varies: bool) -> int:
        coordinates.append(Coordinate(name, owner, varies))
        return len(coordinates) - 1

    # BOS is always there, though not every program reads tokens.
    bos[tokens] = new("tokens:bos", Node("embed"), False)
    for op in steps:
        if op not in places:
            continue
        owner, varies, name = places[op].last, depends_on_tokens(op), names[op]
        if op is indices:
            bos[op] = new("indices:0", owner, False)
        if isinstance(op, SelectorWidth):
            head = places[op].head
            assert head is not None
            shares[op] = new(f"{name}:share", head, varies)
        kept = [None] if op.numerical else values.of(op)
        written[op] = {v: new(name if op.numerical else f"{name}:{_short(v)}", owner, varies) for v in kept}
    return Basis(tuple(coordinates), written, shares, bos)


def step_names(steps: Sequence[Op]) -> dict[Op, str]:
    """The name of each step: its own, or its kind and a number.

    Raises:
        InputError: for one name on two steps.
    """
    names: dict[Op, str] = {}
    for number, op in enumerate(steps):
        kind = "width" if isinstance(op, SelectorWidth) else type(op).__name__.lower()
        name = op.name or f"{kind}_{number}"
        if name in names.values():
            raise InputError(
                wanted="a name of its own for each step",
                got=f"{name!r} twice",
                remedy="rename one of the two",
            )
        names[op] = name
    return names


def described(op: Op, names: Mapping[Op, str]) -> str:
    """A step in one line."""
    if not isinstance(op, (Aggregate, SelectorWidth)):
        kind = type(op).__name__.lower()
        return f"{names[op]} = {kind}({', '.join(names[source] for source in op.inputs)})"
    s = op.selector
    parts = [f"keys {names[s.keys]}" if s.keys else "all keys"]
    parts += [f"queries {names[s.queries]}"] if s.queries else []
    parts += [f"the {s.prefer} of them"] if s.prefer else []
    parts += [f"unless {names[s.unless]}"] if s.unless else []
    selected = f"select({', '.join(parts)})"
    if isinstance(op, SelectorWidth):
        return f"{names[op]} = selector_width({selected})"
    return f"{names[op]} = aggregate({selected}, {names[op.values]})"


def _short(value: Value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
