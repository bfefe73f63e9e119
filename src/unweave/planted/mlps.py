"""MLPs: functions of categories as tables, functions of numbers as stairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError
from unweave.planted.basis import Basis, Row, add
from unweave.planted.language import Elementwise, Op, Present, SelectorWidth, Value
from unweave.planted.values import Values, as_number

# Float32 tells numbers of size 1 apart by 1.2e-7; steps that are narrower than this would show it.
NARROWEST = 2e-5


@dataclass(frozen=True)
class Neuron:
    """`relu(read + bias)`, written."""

    read: Row
    bias: float
    write: Row


def elementwise_mlp(op: Elementwise, basis: Basis, values: Values) -> list[Neuron]:
    """One neuron for the values of one source, or pairs of two, that have the same result; or stairs.

    Where a value may be missing each pair has its own, so that both sources are treated alike.
    """
    written = _writer(op, basis)
    if op.sources[0].numerical:
        return stairs(
            basis.number(op.sources[0]), 0.0, values.of(op.sources[0]), lambda x: written(op.f(x)), op
        )
    rows = [basis.rows(source) for source in op.sources]
    together: dict[tuple[Value, ...], tuple[Row, list[Any]]] = {}
    for asked in values.asked(op):
        result = op.f(*asked)
        write = written(result)
        if write:
            key = asked if op.partial else (*asked[:-1], result)
            together.setdefault(key, (write, []))[1].append(asked)
    return [_neuron(rows, group, write) for write, group in together.values()]


def present_mlp(op: Present, basis: Basis) -> list[Neuron]:
    """One neuron for each value, which counts from a half on."""
    write = {basis.written[op][None]: 1.0}
    rows = basis.rows(op.source).values()
    return [Neuron({at: 2 * c for at, c in row.items()}, -1.0, write) for row in rows]


def width_mlp(op: SelectorWidth, basis: Basis, values: Values, *, silence_bos: bool) -> list[Neuron]:
    """Stairs from BOS's share of the attention, 1 / (1 + width), to the width.

    Args:
        silence_bos: BOS itself has selected something, which must not count.
    """
    read = {basis.shares[op]: -1.0}
    if silence_bos:
        read[basis.bos_beside(op.selector)] = -2.0
    to = basis.written[op]
    widths = {1.0 - 1.0 / (1 + width): width for width in range(values.max_length + 1)}
    return stairs(read, 1.0, widths, lambda x: {to[widths[x]]: 1.0} if widths[x] else {}, op)


def stairs(
    read: Row, constant: float, numbers: Iterable[float], written: Callable[[float], Row], op: Op
) -> list[Neuron]:
    """`written(x)` for x = read + constant, one of `numbers`; nothing for 0.

    Between two neighbouring numbers the result changes over the middle third of the gap: x may be
    off by a third of it. Two neurons a step.

    Raises:
        InputError: if 0 is to give something, or numbers lie too close together.
    """
    if written(0.0):
        raise InputError(
            wanted=f"0 or None for the number 0 in {op.name or 'a step'}",
            got="something else",
            remedy="nothing comes of nothing: shift the number, or read categories",
        )
    neurons: list[Neuron] = []
    for sign in (1.0, -1.0):
        side = sorted({0.0, *(sign * x for x in numbers if sign * x > 0.0)})
        for lower, upper in itertools.pairwise(side):
            change: Row = {}
            add(change, written(sign * upper), 1.0)
            add(change, written(sign * lower) if lower else {}, -1.0)
            third = (upper - lower) / 3
            if third < NARROWEST * max(1.0, side[-1]):
                raise InputError(
                    wanted=f"numbers further than {3 * NARROWEST * max(1.0, side[-1]):.2g} apart "
                    f"in {op.name or 'a step'}",
                    got=f"{sign * lower:g} and {sign * upper:g}",
                    remedy="make sequences shorter, or read fewer numbers",
                )
            for edge, direction in ((lower + third, 1.0), (upper - third, -1.0)):
                scaled = {at: sign * coefficient / third for at, coefficient in read.items()}
                write = {at: direction * coefficient for at, coefficient in change.items() if coefficient}
                neurons.append(Neuron(scaled, (sign * constant - edge) / third, write))
    return [neuron for neuron in neurons if neuron.write]


def _writer(op: Op, basis: Basis) -> Callable[[Any], Row]:
    to = basis.written[op]

    def written(result: Any) -> Row:
        if op.numerical:
            number = as_number(op, result)
            return {to[None]: number} if number else {}
        return {} if result is None else {to[result]: 1.0}

    return written


def _neuron(rows: list[dict[Value, Row]], group: list[Any], write: Row) -> Neuron:
    """Fires for the group: value tuples that differ in their last place alone."""
    read: Row = {}
    bias = 0.0
    for place, values in ((0, group[:1]), (len(rows) - 1, group)) if len(rows) == 2 else ((0, group),):
        for asked in values:
            if asked[place] is not None:
                add(read, rows[place][asked[place]], 1.0)
                continue
            # No value: 1 less all of them.
            bias += 1.0
            for row in rows[place].values():
                add(read, row, -1.0)
    return Neuron(read, bias - (len(rows) - 1), write)
