"""Several circuits that explain equally well: all of them, not one at random."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from unweave.analysis.circuits.acdc import Search, candidates
from unweave.analysis.circuits.damage import damage
from unweave.analysis.edges.patching import prepared
from unweave.analysis.edges.results import facts
from unweave.analysis.edges.rewired import Rewired
from unweave.analysis.edges.senders import as_operation
from unweave.core.circuit import Circuit
from unweave.core.edges import Edge
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Operation
from unweave.engine.planner import MEMORY
from unweave.model.transformer import HookedTransformer

# Edges whose subsets are all tried, at most: 2 to the power of this many runs.
MOST = 16


@dataclass(frozen=True)
class Alternatives:
    """Circuits of which none is better than another by what was asked of them.

    Args:
        circuits: the smallest first.
        found_by: in how many orders each was found; None where every subset was tried.
    """

    circuits: tuple[Circuit, ...]
    found_by: tuple[int, ...] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def common(self) -> Circuit:
        """The edges that all of them have."""
        return reduce(lambda one, other: one & other, self.circuits)

    @property
    def union(self) -> Circuit:
        """The edges that any of them has."""
        return reduce(lambda one, other: one | other, self.circuits)

    def __repr__(self) -> str:
        sizes = ", ".join(str(len(circuit)) for circuit in self.circuits)
        warned = "".join(f"\n  warning: {text}" for text in self.warnings)
        return f"{len(self.circuits)} circuits, of {sizes or 'no'} edges{warned}"


def equally_good(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    *,
    threshold: float,
    orders: int = 8,
    seed: int = 0,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
) -> Alternatives:
    """The different circuits that ACDC finds when it tries edges backward, forward, and in random orders.

    Each passes ACDC's own test at every step, so that none of them is wrong by it. Orders that were not tried
    may find more: `minimal_sets` tries every subset of a few edges.

    Args:
        orders: how many in all.

    Raises:
        InputError: as `acdc`.
    """
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    counts: dict[Circuit, int] = {}
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, metric, memory)
        for number in range(orders):
            order = ("backward", "forward")[number] if number < 2 else "random"
            search = Search(work, threshold)
            search.through(candidates(work.shape, order, seed + number))
            circuit = search.circuit()
            counts[circuit] = counts.get(circuit, 0) + 1
        told = facts(work, metric, operation, f"ACDC, threshold {threshold:g}, {orders} orders")
    ranked = sorted(counts, key=lambda circuit: (len(circuit), [work.shape.number[edge] for edge in circuit]))
    circuits = tuple(circuit.with_provenance(told) for circuit in ranked)
    return Alternatives(circuits, tuple(counts[circuit] for circuit in ranked), tuple(_about(circuits)))


def minimal_sets(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    among: Iterable[Edge | str],
    *,
    tolerance: float,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
) -> Alternatives:
    """Every smallest set that is enough: all subsets of some edges are tried, each in one run.

    A set is enough if cutting every other edge of the model costs no more than `tolerance` (see `acdc`), and
    minimal if no part of it is enough. Nothing is assumed of sets that contain others: two edges that cancel are
    in no minimal set, though each alone is needed beside the other.

    Args:
        among: at most 16 edges; all others are cut in every run.

    Raises:
        InputError: for more of them; and as `unweave.edges.patch`.
    """
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, metric, memory)
        numbers = sorted(set(work.shape.numbers(among)))
        if not 1 <= len(numbers) <= MOST:
            raise InputError(
                wanted=f"1 to {MOST} edges, all of whose subsets are tried",
                got=str(len(numbers)),
                remedy="take those of a circuit or two, as equally_good(...).union",
            )
        subsets = torch.arange(2 ** len(numbers))[:, None].bitwise_and(2 ** torch.arange(len(numbers))).ne(0)
        cut = torch.ones(len(subsets), len(work.shape.edges), dtype=torch.bool)
        cut[:, numbers] = ~subsets
        enough = damage(work, work.clean, work.measured(cut)) <= tolerance
        told = facts(
            work, metric, operation, f"every subset of {len(numbers)} edges, tolerance {tolerance:g}"
        )
    minimal: list[Tensor] = []
    for subset in sorted(subsets[enough], key=lambda subset: int(subset.sum())):
        if not any(bool((smaller <= subset).all()) for smaller in minimal):
            minimal.append(subset)
    edges = [work.shape.edges[number] for number in numbers]
    circuits = tuple(
        Circuit(
            frozenset(e for e, kept in zip(edges, subset.tolist(), strict=True) if kept), work.shape, told
        )
        for subset in minimal
    )
    none = ["no subset is enough: edges beyond these are needed, or the tolerance is too small"]
    return Alternatives(circuits, None, tuple(_about(circuits)) if circuits else tuple(none))


def _about(circuits: tuple[Circuit, ...]) -> list[str]:
    if len(circuits) < 2:
        return []
    common = reduce(lambda one, other: one & other, circuits)
    union = reduce(lambda one, other: one | other, circuits)
    return [
        f"{len(circuits)} circuits explain the output equally well: they have {len(common)} edges in common, and "
        f"{len(union)} in all; to report one of them is to choose"
    ]
