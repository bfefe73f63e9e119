"""Faithfulness and completeness against runs by the definition; circuits from scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.analysis.circuits.test_acdc import contrast_of
from tests.analysis.edges import naive
from tests.analysis.edges.test_rewired import model_of, some, two_runs
from tests.model.small import assert_equal_to
from tests.planted.loaded import exact
from unweave import LogitDifference, circuits, edges
from unweave.analysis.edges.senders import shape_of
from unweave.core.circuit import Circuit
from unweave.core.errors import InputError
from unweave.core.shape import Shape
from unweave.engine import Mean, Zero

METRIC = LogitDifference(3, 4)


def measured(logits: Tensor) -> Tensor:
    return logits[:, -1, 3] - logits[:, -1, 4]


def test_faithfulness_and_completeness_are_what_full_runs_say():
    model, (tokens, other) = model_of("plain"), two_runs()
    shape, possible = shape_of(model), naive.edges_of(model)
    instead = naive.sent(model, other)
    kept = {str(seed): some(possible, 0.5, seed) for seed in range(3)}
    found = circuits.evaluate(
        model, tokens, other, METRIC, {name: Circuit.of(these, shape) for name, these in kept.items()}
    )
    whole, none = measured(model(tokens)), measured(model(other))
    gap = (whole - none).mean()
    for name, these in kept.items():
        others = [edge for edge in possible if edge not in these]
        with_only, without = (measured(naive.run(model, tokens, instead, cut)) for cut in (others, these))
        faithful, complete = (with_only - none) / gap, 1 - (without - none) / gap
        assert found.per_sample is not None
        assert_equal_to(1e-8, found.sel(circuit=name, measure="faithfulness").values, faithful.mean())
        assert_equal_to(1e-8, found.sel(circuit=name, measure="completeness").values, complete.mean())
        # The mistake of cutting the circuit's own edges, and of a mean of ratios for a ratio of means.
        assert (faithful.mean() - (1 - complete.mean())).abs() > 1e-3
        assert (faithful.mean() - ((with_only - none) / (whole - none)).mean()).abs() > 1e-3
        assert_equal_to(1e-8, found.sel(circuit=name, measure="faithfulness").per_sample, faithful)


def test_all_edges_are_faithful_and_none_are_not():
    model, (tokens, other) = model_of("plain"), two_runs()
    shape = shape_of(model)
    ends = {"all": Circuit(frozenset(shape.edges), shape), "none": Circuit(frozenset(), shape)}
    found = circuits.evaluate(model, tokens, other, METRIC, ends)
    assert found.values.tolist() == [pytest.approx([1, 0]), pytest.approx([1, 0])]


def test_the_true_circuit_is_faithful_and_complete_and_of_an_or_half_of_it_is_faithful_alone():
    model, clean, other, metric = contrast_of("or")
    shape = shape_of(model)
    true = Circuit.of(exact("or").token_edges, shape)
    half = Circuit.of([edge for edge in true if "a0.h0" not in str(edge)], shape)
    found = circuits.evaluate(model, clean, other, metric, {"true": true, "half": half})
    assert found.sel(measure="faithfulness").values.tolist() == pytest.approx([1, 1])
    # m0->logits is in both: without it nothing is left. Without the half's heads the other head is.
    assert found.sel(measure="completeness").values.tolist() == pytest.approx([1, 1])
    heads = Circuit.of([edge for edge in half if "m0->logits" not in str(edge)], shape)
    lost = circuits.evaluate(model, clean, other, metric, heads).sel(measure="completeness")
    assert lost.values.item() == pytest.approx(0)


def test_kinds_of_ablation_side_by_side_and_where_they_disagree_it_is_said():
    model, clean, other, metric = contrast_of("backup")
    circuit = circuits.acdc(model, clean, other, metric, threshold=0.1)
    every = exact("backup").inputs(clean.shape[1] - 1)
    kinds = {"interchange": other, "mean": Mean(every), "zero": Zero()}
    found = circuits.compare_ablations(model, clean, kinds, metric, circuit)
    assert found.dims == ("ablation", "measure")
    for name, ablation in kinds.items():
        alone = circuits.evaluate(model, clean, ablation, metric, circuit)
        assert_equal_to(1e-12, found.sel(ablation=name).values, alone.values[:, 0])
    faithful = found.sel(measure="faithfulness").values
    assert faithful[0].item() == pytest.approx(1)
    # Positions are no part of a circuit that interchange finds, and zeros take them away.
    assert faithful[2].item() < 0.5
    assert any(
        text.startswith("faithfulness depends on what cut edges carry: 1.00 by") for text in found.warnings
    )
    assert any(text.startswith("zero: zero is nothing that") for text in found.warnings)


def test_a_gap_that_is_none_is_refused():
    model, (tokens, other) = model_of("plain"), two_runs()
    shape = shape_of(model)
    with pytest.raises(InputError, match="wanted a metric that differs between run and source"):
        circuits.evaluate(model, tokens, other, lambda x: 1 + 0 * x[:, -1, 3], Circuit(frozenset(), shape))
    with pytest.raises(InputError, match="wanted a circuit of the model's shape"):
        circuits.evaluate(model, tokens, other, METRIC, Circuit(frozenset(), Shape(1, 1)))


def test_the_best_k_are_connected_and_plain_and_greedy_differ():
    model, (tokens, other) = model_of("three layers"), two_runs()
    scores = edges.patch(model, tokens, other, METRIC, wholes=False)
    effect = dict(zip(scores.coords["edge"], scores.effect.abs().tolist(), strict=True))
    for k in (1, 5, 20, len(effect)):
        for method in ("greedy", "plain"):
            circuit = circuits.top_k(scores, k, method=method)
            assert len(circuit) <= k
            assert circuit.pruned() == circuit
    # Greedy by hand: the best edge into what is in already.
    inside, chosen = {"logits"}, list[str]()
    while len(chosen) < 20:
        able = [e for e in map(str, effect) if e not in chosen and e.split("->")[1].split("<")[0] in inside]
        best = max(able, key=effect.__getitem__)
        chosen.append(best)
        inside.add(best.split("->")[0])
    assert circuits.top_k(scores, 20) == Circuit.of(chosen, shape_of(model)).pruned()
    assert circuits.top_k(scores, 20) != circuits.top_k(scores, 20, method="plain")
    with pytest.raises(InputError, match="wanted k from 0 to"):
        circuits.top_k(scores, 10_000)


def test_on_planted_models_thresholds_give_what_was_planted():
    for name in ("induction", "histogram", "and"):
        model, clean, other, metric = contrast_of(name)
        scores = edges.patch(model, clean, other, metric)
        found = circuits.threshold(scores, 0.5)
        again = circuits.acdc(model, clean, other, metric, threshold=0.5)
        assert found == again
        assert set(map(str, found)) <= set(map(str, exact(name).token_edges))
        assert found.provenance["chosen"] == "effects of at least 0.5"
    raised = circuits.threshold(scores, 0.5, absolute=False)
    assert len(raised) == 0 and "no edge is left" in raised.warnings
    with pytest.raises(InputError, match="wanted a result of edges"):
        circuits.threshold(circuits.evaluate(model, clean, other, metric, found), 0.5)


def test_pruning_makes_no_difference_between_runs_and_may_with_zeros():
    model, (tokens, other) = model_of("plain"), two_runs()
    shape = shape_of(model)
    circuit = Circuit.of(some(naive.edges_of(model), 0.25, 7), shape)
    pruned = circuit.pruned()
    assert len(pruned) < len(circuit)
    both = {"whole": circuit, "pruned": pruned}
    between, zeroed = (
        circuits.evaluate(model, tokens, what, METRIC, both).sel(measure="faithfulness").values
        for what in (other, Zero())
    )
    assert_equal_to(1e-8, between[0], between[1])
    assert (zeroed[0] - zeroed[1]).abs() > 1e-3
    assert torch.isfinite(zeroed).all()
