"""Curves over size, and MIB's areas, against numbers worked out by themselves."""

from __future__ import annotations

import pytest
import torch

from tests.analysis.circuits.test_acdc import contrast_of
from tests.analysis.edges.test_rewired import model_of, two_runs
from tests.model.small import assert_equal_to
from unweave import LogitDifference, circuits, edges
from unweave.core.errors import InputError
from unweave.core.results import Result

METRIC = LogitDifference(3, 4)


def test_a_curve_is_of_the_best_circuits_at_each_size():
    model, (tokens, other) = model_of("plain"), two_runs()
    scores = edges.patch(model, tokens, other, METRIC, wholes=False)
    found = circuits.curve(
        model, tokens, other, METRIC, scores, fractions=(0.1, 0.4, 1.0), random=2, minimality=True
    )
    n_edges = len(scores.coords["edge"])
    chosen = {str(n): circuits.top_k(scores, int(n * n_edges)) for n in (0.1, 0.4, 1.0)}
    wanted = circuits.evaluate(model, tokens, other, METRIC, chosen)
    assert_equal_to(1e-9, found.values[:2, 0], wanted.values)
    assert found.provenance["sizes"][0] == [len(circuit) for circuit in chosen.values()]
    # All edges are the whole model, whoever chose them.
    assert found.values[0, :, -1].tolist() == pytest.approx([1, 1, 1])
    circuit, whole = chosen["0.4"], wanted.sel(measure="faithfulness", circuit="0.4").values
    less = {str(edge): circuits.Circuit(circuit.edges - {edge}, circuit.shape) for edge in circuit}
    faithful = circuits.evaluate(model, tokens, other, METRIC, less).sel(measure="faithfulness").values
    least = (whole - faithful)[(whole - faithful).abs().argmin()]
    assert_equal_to(1e-6, found.sel(measure="minimality", choice="scores", fraction="0.4").values, least)
    # Random circuits aren't the scores' own, nor each other.
    assert len({round(value, 6) for value in found.values[0, :, 1].tolist()}) == 3


def test_of_a_planted_circuit_the_curve_jumps_at_its_size_and_random_ones_don_t():
    model, clean, other, metric = contrast_of("induction")
    scores = edges.patch(model, clean, other, metric)
    fractions = tuple(n / 19 + 1e-9 for n in range(1, 20))
    found = circuits.curve(
        model, clean, other, metric, scores, fractions=(*fractions[:-1], 1.0), minimality=True
    )
    faithful = found.sel(measure="faithfulness", choice="scores").values
    # Three edges, each of them needed.
    assert faithful.tolist() == pytest.approx([0, 0] + [1] * 17, abs=1e-6)
    minimal = found.sel(measure="minimality", choice="scores").values
    assert minimal[2].item() == pytest.approx(1)
    assert minimal[-1].abs().item() == pytest.approx(0, abs=1e-9)
    distance = circuits.cmd(found)
    assert all(distance["scores"] < distance[f"random {draw}"] for draw in range(4))


def made(fractions: tuple[float, ...], faithful: list[float]) -> Result:
    return Result(
        torch.tensor(faithful, dtype=torch.float64)[None, None],
        ("measure", "choice", "fraction"),
        {"measure": ("faithfulness",), "choice": ("scores",), "fraction": tuple(f"{f:g}" for f in fractions)},
    )


def test_the_areas_by_hand():
    """Trapezoids over the fractions themselves: 0.1 to 0.5 at 0.25 on average, 0.5 to 1 at 0.95."""
    found = made((0.1, 0.5, 1.0), [-0.2, 0.7, 1.2])
    assert circuits.cpr(found)["scores"] == pytest.approx(0.4 * 0.25 + 0.5 * 0.95)
    assert circuits.cmd(found)["scores"] == pytest.approx(0.4 * (1.2 + 0.3) / 2 + 0.5 * (0.3 + 0.2) / 2)
    # Over 1 counts as distance, not against it: the mistake of 1 - CPR.
    assert circuits.cmd(found)["scores"] != pytest.approx(0.9 - circuits.cpr(found)["scores"])


def test_a_perfect_circuit_at_mib_s_own_fractions():
    fractions = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    found = made(fractions, [1.0] * 10)
    assert circuits.cpr(found)["scores"] == pytest.approx(0.999)
    assert circuits.cmd(found)["scores"] == pytest.approx(0)


def test_mistakes_are_told():
    model, (tokens, other) = model_of("plain"), two_runs()
    scores = edges.patch(model, tokens, other, METRIC, wholes=False)
    for fractions in ((), (0.5, 0.2), (0.0, 1.0), (0.5, 1.5)):
        with pytest.raises(InputError, match="wanted fractions that rise, above 0 and at most 1"):
            circuits.curve(model, tokens, other, METRIC, scores, fractions=fractions)
    some = edges.patch(model, tokens, other, METRIC, edges=["m0->logits"])
    with pytest.raises(InputError, match="wanted scores of every edge of this model"):
        circuits.curve(model, tokens, other, METRIC, some)
    with pytest.raises(InputError, match=r"wanted what unweave\.circuits\.curve gave"):
        circuits.cpr(scores)
