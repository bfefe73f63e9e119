"""Circuits from scores of edges: those above a threshold, or the best so many."""

from __future__ import annotations

import heapq

from unweave.core.circuit import Circuit
from unweave.core.edges import Edge, Node
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.core.shape import Shape
from unweave.model.config_checks import require_choice

Scores = dict[Edge, float]
METHODS = ("greedy", "plain")


def threshold(scores: Result, least: float, *, absolute: bool = True) -> Circuit:
    """The edges whose effect is at least so large, but for those that dangle.

    Args:
        scores: of `unweave.edges.patch` or `attribute`.
        absolute: by size; False counts only effects that raise the metric.
    """
    shape, ranked = ranks(scores, absolute)
    chosen = [edge for edge, score in ranked.items() if score >= least]
    return _told(Circuit(frozenset(chosen), shape).pruned(), scores, f"effects of at least {least:g}")


def top_k(scores: Result, k: int, *, method: str = "greedy", absolute: bool = True) -> Circuit:
    """The best k edges, connected: at most k, for edges that dangle are left out.

    "greedy" (Hanna et al., 2024, arXiv:2403.17806) grows the circuit from the logits: again and again the best
    edge into a component that is already in it. "plain" takes the best k wherever they are. Of equal ones the
    earlier in a run comes first.

    Raises:
        InputError: for a k that is negative or more than there are.
    """
    require_choice("method", method, METHODS)
    shape, ranked = ranks(scores, absolute)
    if not 0 <= k <= len(ranked):
        raise InputError(wanted=f"k from 0 to {len(ranked)}", got=str(k), remedy="count edges")
    return _told(selected(shape, ranked, k, method), scores, f"best {k}, {method}")


def selected(shape: Shape, ranked: Scores, k: int, method: str) -> Circuit:
    """The best k by these scores, without what dangles."""
    if method == "plain":
        chosen = sorted(ranked, key=lambda edge: (-ranked[edge], shape.number[edge]))[:k]
    else:
        chosen = _grown(shape, ranked, k)
    return Circuit(frozenset(chosen), shape).pruned()


def _grown(shape: Shape, ranked: Scores, k: int) -> list[Edge]:
    by_receiver: dict[Node, list[tuple[float, int]]] = {}
    for edge, score in ranked.items():
        by_receiver.setdefault(edge.receiver, []).append((-score, shape.number[edge]))
    chosen: list[Edge] = []
    inside, frontier = {Node("logits")}, list(by_receiver.get(Node("logits"), []))
    heapq.heapify(frontier)
    while frontier and len(chosen) < k:
        edge = shape.edges[heapq.heappop(frontier)[1]]
        chosen.append(edge)
        if edge.sender not in inside:
            inside.add(edge.sender)
            for entry in by_receiver.get(edge.sender, []):
                heapq.heappush(frontier, entry)
    return chosen


def ranks(scores: Result, absolute: bool) -> tuple[Shape, Scores]:
    """The shape that scores are of, and each edge's, larger for better.

    Raises:
        InputError: for a result that isn't one of edges.
    """
    if scores.dims != ("edge",) or "shape" not in scores.provenance:
        raise InputError(
            wanted="a result of edges",
            got=repr(scores),
            remedy="pass what unweave.edges.patch or attribute gave",
        )
    values = scores.effect.abs() if absolute else scores.effect
    edges = map(Edge.parse, map(str, scores.coords["edge"]))
    return Shape(**scores.provenance["shape"]), dict(zip(edges, values.tolist(), strict=True))


def _told(circuit: Circuit, scores: Result, chosen: str) -> Circuit:
    told = {key: value for key, value in scores.provenance.items() if key != "plan"}
    warnings = (*scores.warnings, *(["no edge is left"] if not circuit.edges else []))
    return circuit.with_provenance({**told, "chosen": chosen}, warnings)
