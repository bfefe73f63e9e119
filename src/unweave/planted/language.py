"""The language that planted programs are written in: sequences computed from sequences.

The operations are those of RASP (Weiss, Goldberg and Yahav, 2021, "Thinking Like Transformers",
arXiv:2106.06981). That values are categories, one direction each, or numbers, one direction in
all, and that a program becomes heads and MLPs which write to directions of their own, is the idea
of Tracr (Lindner et al., 2023, arXiv:2301.05062).

Ours differs in what happens where nothing is selected. Every sequence begins with BOS, which is
outside of the program: it selects nothing and no selector selects it. A head that selects nothing
rests on BOS and writes nothing: its value is None, or the number 0. None is the zero vector, so
that zeroing a component's output says None in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unweave.core.errors import InputError

# A category; None is "no value".
Value = Hashable
# Of a key's value and a query's.
Predicate = Callable[[Any, Any], bool]


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """One sequence: a value at each position. Abstract.

    Args:
        name: what its directions are called; "" means one that is made up.
        numerical: numbers, and not categories.
    """

    name: str = ""
    numerical: bool = False

    @property
    def inputs(self) -> tuple[Op, ...]:
        """The sequences that this one is computed from."""
        return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Base(Op):
    """What a model is given: tokens, or indices."""


tokens = Base(name="tokens")
indices = Base(name="indices")


@dataclass(frozen=True, eq=False, kw_only=True)
class Relabel(Op):
    """Categories read otherwise. It costs nothing: whoever reads it reads its source so."""

    f: Callable[[Any], Any]
    source: Op

    @property
    def inputs(self) -> tuple[Op, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Op):
    """A function of one or two values at a position: an MLP."""

    f: Callable[..., Any]
    sources: tuple[Op, ...]
    partial: bool = False

    @property
    def inputs(self) -> tuple[Op, ...]:
        return self.sources


@dataclass(frozen=True, eq=False, kw_only=True)
class Present(Op):
    """The number 1 where the source has a value, 0 where it has none: an MLP."""

    source: Op

    @property
    def inputs(self) -> tuple[Op, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Selector:
    """Which keys each query selects. `keys=None`: all; `queries=None`: whatever the query is."""

    keys: Op | None
    queries: Op | None
    predicate: Predicate
    prefer: str | None = None
    unless: Op | None = None

    @property
    def inputs(self) -> tuple[Op, ...]:
        """The sequences that queries and keys are made of."""
        by_index = indices if self.prefer else None
        return tuple(op for op in (self.keys, self.queries, self.unless, by_index) if op is not None)


@dataclass(frozen=True, eq=False, kw_only=True)
class Aggregate(Op):
    """The mean of the values at the selected keys: a head."""

    selector: Selector
    values: Op

    @property
    def inputs(self) -> tuple[Op, ...]:
        return (*self.selector.inputs, self.values)


@dataclass(frozen=True, eq=False, kw_only=True)
class SelectorWidth(Op):
    """How many keys are selected: a head, and an MLP that reads it."""

    selector: Selector

    @property
    def inputs(self) -> tuple[Op, ...]:
        return self.selector.inputs


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(Op):
    """A weighted sum of numbers, or of votes. It costs nothing."""

    terms: tuple[tuple[Op, float], ...]

    @property
    def inputs(self) -> tuple[Op, ...]:
        return tuple(op for op, _ in self.terms)


def select(
    keys: Op | None,
    queries: Op | None,
    predicate: Predicate,
    *,
    prefer: str | None = None,
    unless: Op | None = None,
) -> Selector:
    """The keys for which `predicate(key, query)` holds, for each query.

    A key or query without a value never takes part. In a causal model keys after the query don't either.

    Args:
        keys: categories; see `everything` for all keys.
        queries: categories; None: the same keys for every query, and `predicate` is given None.
        prefer: "first" or "last": only that one of those selected.
        unless: a number, 0 or 1, at the query: where it is 1 nothing is selected.
    """
    _require(keys is not None, "keys", "None", "write everything() to select all keys")
    _require_categories("keys and queries", *(op for op in (keys, queries) if op is not None))
    _check_refinement(prefer, unless)
    return Selector(keys=keys, queries=queries, predicate=predicate, prefer=prefer, unless=unless)


def everything(*, prefer: str | None = None, unless: Op | None = None) -> Selector:
    """All keys but BOS; see `select`."""
    _check_refinement(prefer, unless)
    return Selector(keys=None, queries=None, predicate=lambda _k, _q: True, prefer=prefer, unless=unless)


def aggregate(selector: Selector, values: Op, *, name: str = "") -> Op:
    """The mean of `values` at the selected keys; None, or 0, where none is selected.

    Categories must all be the same there: `evaluate` raises for an input on which they are not.
    """
    _require_plain(values)
    return Aggregate(selector=selector, values=values, numerical=values.numerical, name=name)


def selector_width(selector: Selector, *, name: str = "") -> Op:
    """How many keys are selected, as a category; None for 0."""
    _require(selector.prefer is None, "a selector without prefer", selector.prefer, "it always selects one")
    return SelectorWidth(selector=selector, name=name)


def elementwise(
    f: Callable[..., Any], *sources: Op, numerical: bool = False, partial: bool = False, name: str = ""
) -> Op:
    """`f` of the value at each position, or of two values.

    Where a value is None the result is None, or 0. Of numbers `f` takes one only, of which there can
    be finitely many, and f(0) must be 0 or None.

    Args:
        numerical: the results are numbers, and not categories.
        partial: of two values one may be None: `f` is asked then, too.
    """
    _require(len(sources) in (1, 2), "one or two sequences", len(sources), "combine more step by step")
    for source in sources:
        _require_plain(source)
    if len(sources) == 2:
        _require_categories("two sequences", *sources)
    return Elementwise(f=f, sources=sources, numerical=numerical, partial=partial, name=name)


def relabel(f: Callable[[Any], Any], source: Op, *, numerical: bool = False, name: str = "") -> Op:
    """`f` of the category at each position, None for None; by reading, without a component.

    Args:
        numerical: the results are numbers: `relabel(lambda t: t == 3, tokens, numerical=True)`.
    """
    _require_plain(source)
    _require_categories("a sequence", source)
    return Relabel(f=f, source=source, numerical=numerical, name=name)


def present(source: Op, *, name: str = "") -> Op:
    """1 where `source` has a value, 0 where it has none.

    Half a category (what is left by an ablation to the mean, for one) counts as none.
    """
    _require_plain(source)
    _require_categories("a sequence", source)
    return Present(source=source, numerical=True, name=name)


def linear(terms: Mapping[Op, float] | Sequence[tuple[Op, float]], *, name: str = "") -> Op:
    """A weighted sum of numbers."""
    pairs = _pairs(terms)
    categories = [op for op, _ in pairs if not op.numerical]
    _require(not categories, "numbers", "categories", "write vote(), or relabel(..., numerical=True)")
    return Sum(terms=pairs, numerical=True, name=name)


def vote(terms: Mapping[Op, float] | Sequence[tuple[Op, float]], *, name: str = "") -> Op:
    """The category with the greatest sum of weights, of those above a half; for a program's output only.

    None has the weight 1/2.
    """
    pairs = _pairs(terms)
    for op, _ in pairs:
        _require_plain(op)
    _require_categories("votes", *(op for op, _ in pairs))
    return Sum(terms=pairs, name=name)


def is_vote(op: Op) -> bool:
    """Whether its categories are decided by a sum, which only the logits can tell."""
    return isinstance(op, Sum) and not op.numerical


def _pairs(terms: Mapping[Op, float] | Sequence[tuple[Op, float]]) -> tuple[tuple[Op, float], ...]:
    pairs = tuple(terms.items()) if isinstance(terms, Mapping) else tuple(terms)
    _require(len(pairs) > 0, "at least one term", "none", "write {op: 1.0}")
    return tuple((op, float(weight)) for op, weight in pairs)


def _require_categories(where: str, *ops: Op) -> None:
    wrong = [op for op in ops if op.numerical]
    _require(not wrong, f"categories for {where}", "numbers", "make them categories with elementwise()")


def _require_plain(op: Op) -> None:
    _require(not is_vote(op), "a sequence whose values are known inside the model", "a vote", "vote last")


def _check_refinement(prefer: str | None, unless: Op | None) -> None:
    _require(prefer in (None, "first", "last"), "prefer of first, last or None", prefer, "write one of them")
    numerical = unless is None or unless.numerical
    _require(
        numerical, "a number for unless", "categories", "write present(), or relabel(..., numerical=True)"
    )


def _require(holds: bool, wanted: str, got: object, remedy: str) -> None:
    if not holds:
        raise InputError(wanted=wanted, got=got if isinstance(got, str) else repr(got), remedy=remedy)
