"""ACDC recovers what was planted, as its definition says, and tells where there is more than one circuit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.edges import naive
from tests.analysis.edges.test_patching import SOME, change_of, shuffled
from tests.analysis.edges.test_rewired import model_of, two_runs
from tests.equivalent_models import equivalents
from tests.model.small import small_model
from tests.planted import by_hand
from tests.planted.loaded import exact
from unweave import KL, LogitDifference, circuits, edges, planted
from unweave.analysis.circuits.acdc import candidates
from unweave.analysis.edges.senders import shape_of
from unweave.core.circuit import Circuit
from unweave.core.edges import Edge
from unweave.core.errors import InputError
from unweave.core.shape import Shape
from unweave.engine import Interchange, Zero


def named(circuit: Circuit) -> set[str]:
    return set(map(str, circuit.edges))


def contrast_of(name: str) -> tuple[Any, Tensor, Tensor, Any]:
    """A planted model, its contrast, and a metric of the outputs that this tells apart."""
    loaded = exact(name)
    contrast = loaded.contrast
    assert contrast is not None
    runs = contrast.clean, contrast.corrupted
    if loaded.numerical:
        return loaded.model, *runs, lambda logits: logits[:, contrast.position, 0]
    right, wrong = (int(loaded.read(loaded.model(run))[0, contrast.position]) for run in runs)
    return loaded.model, *runs, LogitDifference(right, wrong, pos=contrast.position)


@pytest.mark.parametrize(("name", "decoys"), [*((name, 0) for name in planted.names()), ("induction", 1)])
def test_it_recovers_exactly_the_planted_edges_that_carry_tokens(name: str, decoys: int):
    """Other sequences' values in cut edges; no output at any position of any sample may change."""
    loaded = exact(name, decoys)
    tokens = shuffled(loaded.inputs(), 0)[:16]
    metric = change_of(loaded.model, tokens)
    again = name in ("induction", "histogram")
    found = circuits.acdc(
        loaded.model, tokens, shuffled(tokens, 1), metric, threshold=SOME, other_order=again
    )
    assert named(found) == set(map(str, loaded.token_edges))
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["previous-token", "induction", "histogram", "and"])
def test_it_recovers_all_planted_edges_where_cut_edges_carry_what_is_sent_elsewhere(name: str):
    loaded = exact(name)
    tokens = shuffled(loaded.inputs(), 0)[:16]
    source = Interchange(shuffled(tokens, 1), pos=[2, 0, 3, 5, 1, 4])
    metric = change_of(loaded.model, tokens)
    found = circuits.acdc(loaded.model, tokens, source, metric, threshold=SOME, other_order=False)
    assert named(found) == set(map(str, loaded.edges))


def one_by_one(
    model: Any, tokens: Tensor, other: Tensor, threshold: float, mistaken: bool = False
) -> set[str]:
    """ACDC by its definition: one full run an edge, with KL at the last position.

    Args:
        mistaken: compare each run with the clean one, and not with the one before.
    """
    instead = naive.sent(model, other)
    clean = model(tokens)[:, -1].log_softmax(-1)

    def divergence(cut: list[Edge]) -> float:
        now = naive.run(model, tokens, instead, cut)[:, -1].log_softmax(-1)
        return (clean.exp() * (clean - now)).sum(-1).mean().item()

    cut: list[Edge] = []
    at = 0.0
    shape = shape_of(model)
    for numbers in candidates(shape, "backward", 0):
        for number in numbers:
            edge = shape.edges[number]
            value = divergence([*cut, edge])
            if value - (0.0 if mistaken else at) < threshold:
                cut.append(edge)
                at = value
    return {str(edge) for edge in shape.edges if edge not in cut}


def test_it_is_what_one_full_run_an_edge_finds():
    model, (tokens, other) = model_of("plain"), two_runs()
    found = circuits.acdc(model, tokens, other, KL(), threshold=3e-4, other_order=False)
    wanted = one_by_one(model, tokens, other, 3e-4)
    assert 5 < len(wanted) < 0.9 * len(found.shape.edges)
    left = Circuit.of(wanted, found.shape).pruned()
    assert found == left
    assert one_by_one(model, tokens, other, 3e-4, mistaken=True) != wanted
    plan = found.provenance["plan"]
    assert plan["batches"] < len(found.shape.edges)
    # Few at a time, and other sizes of batches, find the same.
    assert circuits.acdc(model, tokens, other, KL(), threshold=3e-4, other_order=False, memory=1) == found


def test_receivers_come_after_all_that_read_them():
    cases: tuple[dict[str, Any], ...] = ({}, {"parallel": True}, {"mlp": False})
    for fields in cases:
        shape = Shape(2, 2, **fields)
        for order in ("backward", "forward", "random"):
            lists = list(candidates(shape, order, 3))
            assert sorted(itertools.chain(*lists)) == list(range(len(shape.edges)))
            depths = [shape.edges[numbers[0]].receiver.depth for numbers in lists]
            beside = {0: 0, 1: 0, 2: 1, 3: 1} if fields.get("parallel") else {n: n for n in range(4)}
            stages = [beside.get(depth, 9) for depth in depths]
            assert stages == sorted(stages, reverse=True)


def enough_by_hand(name: str, among: list[str], tolerance: float, zero: bool = False) -> set[frozenset[str]]:
    """Every minimal sufficient set, by a transformer written out and a full run a subset."""
    model, clean, other, metric = contrast_of(name)
    _, there = by_hand.run(model, other)
    there = {node: torch.zeros_like(sent) for node, sent in there.items()} if zero else there
    if isinstance(metric, LogitDifference):
        pos, right, wrong = metric.pos, metric.right, metric.wrong
        metric = lambda logits: logits[:, pos, right] - logits[:, pos, wrong]  # noqa: E731
    wanted = metric(model(clean))
    every = naive.edges_of(model)
    sufficient: list[frozenset[str]] = []
    for size in range(len(among) + 1):
        for kept in itertools.combinations(among, size):
            if any(smaller <= set(kept) for smaller in sufficient):
                continue
            cut = {edge: there[edge.sender] for edge in every if str(edge) not in kept}
            logits, _ = by_hand.run(model, clean, cut)
            if (metric(logits) - wanted).abs().max() <= tolerance:
                sufficient.append(frozenset(kept))
    return set(sufficient)


@pytest.mark.parametrize("name", ["and", "or", "backup", "cancel", "induction"])
def test_minimal_sets_are_those_of_brute_force(name: str):
    """Edges that carry no tokens, or that nothing on the way to the output reads, send the same in both runs or
    make no difference, in any context: subsets of the others are all there are to try."""
    model, clean, other, metric = contrast_of(name)
    among = sorted(map(str, exact(name).token_edges))
    assert len(among) <= 12
    found = circuits.minimal_sets(model, clean, other, metric, among, tolerance=1e-6)
    truth = enough_by_hand(name, among, 1e-6)
    assert {frozenset(named(circuit)) for circuit in found.circuits} == truth
    assert (len(truth) > 1) == bool(found.warnings)


def test_of_an_or_acdc_finds_one_path_by_its_order_and_says_so_and_equally_good_finds_both():
    model, clean, other, metric = contrast_of("or")
    one, two = (
        circuits.acdc(model, clean, other, metric, threshold=0.1, order=order)
        for order in ("backward", "forward")
    )
    assert named(one) != named(two)
    for circuit in (one, two):
        assert any("ACDC finds another circuit" in text for text in circuit.warnings)
    both = circuits.equally_good(model, clean, other, metric, threshold=0.1)
    truth = enough_by_hand("or", sorted(map(str, exact("or").token_edges)), 1e-6)
    assert {frozenset(named(circuit)) for circuit in both.circuits} <= truth
    assert len(both.circuits) == len(truth) == 2
    assert {frozenset(named(one)), frozenset(named(two))} <= truth
    assert "m0->logits" in both.common
    assert "explain the output equally well" in both.warnings[0]
    assert {"a0.h0->m0", "a0.h1->m0"} <= named(both.union) - named(both.common)
    assert sum(both.found_by or ()) == 8


def test_of_an_and_there_is_one_circuit_in_any_order():
    model, clean, other, metric = contrast_of("and")
    found = circuits.equally_good(model, clean, other, metric, threshold=0.1, orders=4)
    assert len(found.circuits) == 1
    assert found.warnings == ()
    [truth] = enough_by_hand("and", sorted(map(str, exact("and").token_edges)), 1e-6)
    assert named(found.circuits[0]) == truth


def test_of_heads_that_cancel_acdc_keeps_both_and_the_minimal_set_has_neither():
    """Each cut alone costs: one at a time can't leave out the two. By subsets, neither is needed."""
    model, clean, other, metric = contrast_of("cancel")
    found = circuits.acdc(model, clean, other, metric, threshold=0.01)
    assert {"a0.h1->logits", "a0.h2->logits"} <= named(found)
    smallest = circuits.minimal_sets(model, clean, other, metric, found.edges, tolerance=1e-6)
    assert [named(circuit) for circuit in smallest.circuits] == [{"embed->a0.h0<v>", "a0.h0->logits"}]
    assert len(smallest.circuits[0]) < len(found)
    assert any("cancel" in text for text in found.warnings)


def test_of_a_backup_the_dormant_path_is_found_by_no_interchange():
    model, clean, other, metric = contrast_of("backup")
    found = circuits.acdc(model, clean, other, metric, threshold=0.1)
    assert named(found) == {"embed->a0.h0<v>", "a0.h0->logits"}
    # With zeros, ACDC keeps the first head's path in every order that it tries, for it cuts an edge at a time.
    zeroed = circuits.equally_good(model, clean, Zero(), metric, threshold=0.1, orders=4)
    dormant = set(map(str, exact("backup").dormant))
    assert not any(named(circuit) & dormant for circuit in zeroed.circuits)
    # By subsets there are two: without all of the first, the backup's own path is enough.
    both = circuits.minimal_sets(model, clean, Zero(), metric, exact("backup").edges, tolerance=1e-6)
    one, other_path = map(named, both.circuits)
    assert "a0.h0->logits" in one and not one & dormant
    assert other_path <= dormant
    assert "0 edges in common" in both.warnings[0]
    truth = enough_by_hand("backup", sorted(map(str, exact("backup").edges)), 1e-6, zero=True)
    assert {frozenset(one), frozenset(other_path)} == truth


def test_small_costs_that_add_up_are_told():
    model, (tokens, other) = model_of("plain"), two_runs()
    found = circuits.acdc(model, tokens, other, LogitDifference(3, 4), threshold=0.05)
    assert any("small costs add up" in text for text in found.warnings)


@pytest.mark.parametrize("name", ["heads permuted", "OV rotated", "residual permuted"])
def test_the_circuit_does_not_depend_on_the_choice_of_weights(name: str):
    """Where it isn't a matter of order: on a planted circuit, told by what each head does."""
    model = small_model(n_heads=2, dtype="float64", positional_embedding_type="standard")
    tokens, other = two_runs()
    equivalent = equivalents(model)[name]
    scores = [circuits_of(given, tokens, other) for given in (model, equivalent.model)]
    assert {equivalent.edge(edge) for edge in scores[0]} == scores[1]


def circuits_of(model: Any, tokens: Tensor, other: Tensor) -> set[str]:
    return named(
        circuits.threshold(edges.patch(model, tokens, other, LogitDifference(3, 4), wholes=False), 0.02)
    )


def test_mistakes_are_told():
    model, (tokens, other) = model_of("plain"), two_runs()
    with pytest.raises(InputError, match=r"wanted a positive threshold; got 0.0"):
        circuits.acdc(model, tokens, other, KL(), threshold=0.0)
    with pytest.raises(InputError, match="order"):
        circuits.acdc(model, tokens, other, KL(), threshold=0.1, order="upward")
    with pytest.raises(InputError, match="wanted 1 to 16 edges, all of whose subsets are tried; got 0"):
        circuits.minimal_sets(model, tokens, other, KL(), [], tolerance=0.1)
