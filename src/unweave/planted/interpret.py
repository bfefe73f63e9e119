"""The language run as it reads, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError
from unweave.planted.language import (
    Aggregate,
    Elementwise,
    Op,
    Present,
    Relabel,
    Selector,
    SelectorWidth,
    Sum,
    tokens,
)
from unweave.planted.values import in_order


def evaluate(program: Op, sequence: Sequence[int], *, causal: bool) -> list[Any]:
    """What the program gives at each position of a sequence, BOS left out.

    Raises:
        InputError: where a selector picks several categories, or `unless` is neither 0 nor 1.
    """
    run = _Run(tuple(sequence), causal, {})
    for op in in_order(program):
        values = [_value(op, at, run) for at in range(len(sequence))]
        run.known[op] = [float(value or 0.0) for value in values] if op.numerical else values
    return run.known[program]


@dataclass(frozen=True)
class _Run:
    """A sequence, and the values of the steps taken so far."""

    sequence: tuple[int, ...]
    causal: bool
    known: dict[Op, list[Any]]


def _value(op: Op, at: int, run: _Run) -> Any:
    known = run.known
    match op:
        case Relabel():
            x = known[op.source][at]
            return None if x is None else op.f(x)
        case Elementwise():
            # Nine digits of a number, as the compiler asks for.
            xs = [round(known[s][at], 9) if s.numerical else known[s][at] for s in op.sources]
            silent = all(x is None for x in xs) or (not op.partial and None in xs)
            return None if silent else op.f(*xs)
        case Present():
            return float(known[op.source][at] is not None)
        case SelectorWidth():
            return len(_selected(op.selector, at, run)) or None
        case Aggregate():
            xs = [known[op.values][key] for key in _selected(op.selector, at, run)]
            return _mean(xs) if op.numerical else _one(op, xs)
        case Sum() if op.numerical:
            return sum(weight * known[term][at] for term, weight in op.terms)
        case Sum():
            return _elected([(known[term][at], weight) for term, weight in op.terms])
        case _:
            return run.sequence[at] if op is tokens else at + 1


def _selected(selector: Selector, query: int, run: _Run) -> list[int]:
    known = run.known
    if selector.unless is not None and _switch(known[selector.unless][query]):
        return []
    q = None if selector.queries is None else known[selector.queries][query]
    if selector.queries is not None and q is None:
        return []
    keys = None if selector.keys is None else known[selector.keys]
    seen = range(query + 1 if run.causal else len(run.sequence))
    fits = [k for k in seen if keys is None or (keys[k] is not None and selector.predicate(keys[k], q))]
    return fits[-1:] if selector.prefer == "last" else fits[: 1 if selector.prefer else None]


def _mean(xs: list[float]) -> float:
    return sum(xs) / len(xs) if xs else 0.0


def _one(op: Op, xs: list[Any]) -> Any:
    if len(set(xs)) > 1:
        raise InputError(
            wanted=f"one category among those that {op.name or 'a selector'} selects",
            got=f"{', '.join(sorted(map(repr, set(xs))))}",
            remedy="write prefer='last' or prefer='first' in select(), or aggregate numbers",
        )
    return xs[0] if xs else None


def _elected(votes: list[tuple[Any, float]]) -> Any:
    totals: dict[Any, float] = {None: 0.5}
    for value, weight in votes:
        if value is not None:
            totals[value] = totals.get(value, 0.0) + weight
    best = max(totals.values())
    winners = [value for value, total in totals.items() if total == best]
    if len(winners) > 1:
        raise InputError(
            wanted="one winner of a vote",
            got=f"{', '.join(map(repr, winners))} with {best:g} each",
            remedy="give the votes other weights",
        )
    return winners[0]


def _switch(number: float) -> bool:
    if number not in (0.0, 1.0):
        raise InputError(
            wanted="0 or 1 for unless", got=f"{number:g}", remedy="write present(), or relabel()"
        )
    return number == 1.0
