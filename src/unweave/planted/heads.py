"""Heads: selectors as scores, aggregates as values moved."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.planted.basis import Basis, Row, add
from unweave.planted.language import Aggregate, Selector, SelectorWidth, indices
from unweave.planted.values import Values


@dataclass(frozen=True)
class Match:
    """One dimension of queries and keys: it adds `(query + constant) * key` to the scores."""

    query: Row
    constant: float
    key: Row


@dataclass(frozen=True)
class Move:
    """One dimension of values: what is read at a key, and where it is written."""

    read: Row
    write: Row


@dataclass(frozen=True)
class Head:
    """A head, dimension by dimension."""

    matches: tuple[Match, ...]
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class Levels:
    """The scores that a selector gives.

    Between any two keys that are told apart lie at least `sharpness / 2`, so that of the n keys
    which are not meant none gets more than `exp(-sharpness / 2)` of the attention.

    Args:
        match: added where the predicate holds.
        step: added for each position, with `prefer`.
        low, high: the most that a key can have which isn't selected, the least of one that is.
        force: enough, beside anything, to draw all attention.
    """

    match: float
    step: float
    low: float
    high: float
    force: float

    @classmethod
    def of(cls, selector: Selector, sharpness: float, n: int) -> Levels:
        """With so many positions after BOS."""
        step = {None: 0.0, "last": sharpness / 2, "first": -sharpness / 2}[selector.prefer]
        match = sharpness if step == 0.0 else abs(step) * (n + 1)
        match = 0.0 if selector.keys is None else match
        by_position = sorted((step, step * n))
        force = 2 * (match + abs(step) * n) + sharpness
        return cls(match, step, by_position[1], match + by_position[0], force)


def aggregate_head(op: Aggregate, basis: Basis, values: Values, *, sharpness: float, both_ways: bool) -> Head:
    """A head that attends to what is selected, or to BOS, and moves the values there.

    Args:
        both_ways: attention is bidirectional, so that BOS must be kept from selecting anything.
    """
    selector = op.selector
    levels = Levels.of(selector, sharpness, values.max_length)
    # Where BOS stands among the scores: above what isn't selected, below what is.
    rest = levels.high - sharpness / 2 if selector.keys is None else (levels.low + levels.high) / 2
    matches = _matches(selector, basis, values, levels)
    forced = _forced(selector, basis, levels.force)
    if both_ways and selector.queries is None:
        forced[basis.bos_beside(selector)] = levels.force
    if rest or forced:
        matches.append(Match(forced, rest, {basis.bos_beside(selector): 1.0}))
    rows, to = basis.rows(op.values), basis.written[op]
    return Head(tuple(matches), tuple(Move(row, {to[value]: 1.0}) for value, row in rows.items()))


def share_head(op: SelectorWidth, basis: Basis, values: Values, *, sharpness: float) -> Head:
    """A head that attends to BOS and to all that is selected alike, and writes BOS's share: 1 / (1 + width)."""
    selector = op.selector
    levels = Levels.of(selector, sharpness, values.max_length)
    matches = _matches(selector, basis, values, levels)
    bos = basis.bos_beside(selector)
    forced = _forced(selector, basis, levels.force)
    if levels.match or forced:
        matches.append(Match(forced, levels.match, {bos: 1.0}))
    return Head(tuple(matches), (Move({bos: 1.0}, {basis.shares[op]: 1.0}),))


def _matches(selector: Selector, basis: Basis, values: Values, levels: Levels) -> list[Match]:
    """Scores of the predicate, one dimension for each query that selects anything, and of the position."""
    matches: list[Match] = []
    if selector.keys is not None:
        queries = {None: Row()} if selector.queries is None else basis.rows(selector.queries)
        for query, query_row in queries.items():
            key: Row = {}
            for value, row in basis.rows(selector.keys).items():
                if selector.predicate(value, query):
                    add(key, row, levels.match)
            if key:
                matches.append(Match(query_row, float(selector.queries is None), key))
    if levels.step:
        by_position = {at: levels.step * n for n, at in enumerate(basis.written[indices].values(), start=1)}
        matches.append(Match({}, 1.0, by_position))
    return matches


def _forced(selector: Selector, basis: Basis, strength: float) -> Row:
    """What in the query makes it rest on BOS whatever it selects."""
    if selector.unless is None:
        return {}
    return {at: strength * coefficient for at, coefficient in basis.number(selector.unless).items()}
