"""Which values a sequence can have, and a program's steps in order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from unweave.core.errors import InputError
from unweave.planted.language import (
    Aggregate,
    Base,
    Elementwise,
    Op,
    Present,
    Relabel,
    SelectorWidth,
    Sum,
    Value,
    tokens,
)

# More different numbers than this, and an MLP of steps would be absurd.
MOST_NUMBERS = 512


def in_order(program: Op) -> list[Op]:
    """Every sequence that the program computes, each after those that it is made of."""
    ordered: dict[int, Op] = {}

    def visit(op: Op) -> None:
        if id(op) not in ordered:
            for source in op.inputs:
                visit(source)
            ordered[id(op)] = op

    visit(program)
    return list(ordered.values())


def depends_on_tokens(op: Op) -> bool:
    """Whether it says anything about the tokens, beyond where they stand."""
    return any(step is tokens for step in in_order(op))


@dataclass(frozen=True)
class Values:
    """The values that a sequence can have, with so many tokens and positions, BOS left out.

    More than it will ever have, perhaps: of two sources every pair is thought possible.
    """

    n_tokens: int
    max_length: int
    _known: dict[Op, tuple[Any, ...]] = field(default_factory=dict[Op, tuple[Any, ...]])

    def of(self, op: Op) -> tuple[Any, ...]:
        """Categories, without None; or numbers, in order, with 0.

        Raises:
            InputError: where there are too many numbers, or a function gave what is neither.
        """
        if op not in self._known:
            found = self._computed(op)
            self._known[op] = _numbers(op, found) if op.numerical else _categories(op, found)
        return self._known[op]

    def _computed(self, op: Op) -> Iterable[Value]:
        match op:
            case Base():
                return range(1, (self.n_tokens if op is tokens else self.max_length) + 1)
            case Relabel():
                return (op.f(value) for value in self.of(op.source))
            case Elementwise():
                return (op.f(*values) for values in self.asked(op))
            case Present():
                return (0.0, 1.0)
            case SelectorWidth():
                return range(1, self.max_length + 1)
            case Aggregate():
                return self._means(op.values) if op.numerical else self.of(op.values)
            case Sum() if op.numerical:
                per_term = [[weight * x for x in self.of(term)] for term, weight in op.terms]
                return self._sums(op, per_term)
            case Sum():
                return itertools.chain.from_iterable(self.of(term) for term, _ in op.terms)
            case _:
                raise AssertionError(f"a kind of step that is not known: {type(op).__name__}")

    def asked(self, op: Elementwise) -> list[tuple[Any, ...]]:
        """The values that `op.f` is called with."""
        per_source = [(*self.of(source), None) if op.partial else self.of(source) for source in op.sources]
        return [values for values in itertools.product(*per_source) if any(v is not None for v in values)]

    def _means(self, values: Op) -> Iterable[float]:
        sums = {0.0}
        for count in range(1, self.max_length + 1):
            sums = set(self._sums(values, [sums, self.of(values)]))
            yield from (total / count for total in sums)

    def _sums(self, op: Op, per_term: list[Any]) -> Iterable[float]:
        sums = {0.0}
        for numbers in per_term:
            sums = {round(a + b, 9) for a in sums for b in numbers}
            _require_few(op, len(sums))
        return sums


def as_number(op: Op, value: Any) -> float:
    """What a step's function gave, as the number that it must be; None is 0.

    Raises:
        InputError: for anything else.
    """
    if value is not None and (not isinstance(value, (int, float)) or not math.isfinite(value)):
        raise InputError(
            wanted=f"numbers from the function of {op.name or 'a step'}",
            got=repr(value),
            remedy="return a finite number, or leave out numerical=True",
        )
    return float(value or 0.0)


def _numbers(op: Op, found: Iterable[Any]) -> tuple[float, ...]:
    numbers = {0.0}
    for value in found:
        numbers.add(round(as_number(op, value), 9))
        _require_few(op, len(numbers))
    return tuple(sorted(numbers))


def _categories(op: Op, found: Iterable[Any]) -> tuple[Value, ...]:
    categories: dict[Value, None] = {}
    for value in found:
        if value is None:
            continue
        try:
            categories[value] = None
        except TypeError as error:
            raise InputError(
                wanted=f"values that can be told apart (hashable) from the function of {op.name or 'a step'}",
                got=f"a {type(value).__name__}",
                remedy="return a number, a string or a tuple of them",
            ) from error
    return tuple(categories)


def _require_few(op: Op, count: int) -> None:
    if count > MOST_NUMBERS:
        raise InputError(
            wanted=f"at most {MOST_NUMBERS} different numbers in {op.name or 'a step'}",
            got=f"at least {count}",
            remedy="read categories instead, or make sequences shorter",
        )
