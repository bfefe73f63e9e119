"""Each claim on models written by hand: supported where it holds, refuted where it does not."""

import math
from dataclasses import replace

import pytest
import torch

from unweave.experiments.superposition.claims import (
    dense_two_orthogonal,
    plateau,
    plateaus,
    sparse_pentagon,
    superposition_pays,
)
from unweave.experiments.superposition.presets import PRESETS
from unweave.experiments.superposition.study import Study
from unweave.experiments.superposition.toy_models import ToyModels

SEEDS = 8
PRESET = PRESETS["quick"]
TWO = torch.tensor([[1.0, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
PAIRS = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1], [0, 0]])
PENTAGON = torch.stack([torch.tensor([math.cos(a), math.sin(a)]) for a in torch.arange(5) * 2 * math.pi / 5])


def family(at_each: list[torch.Tensor], loss: list[float]) -> ToyModels:
    noise = 0.01 * torch.randn(
        (SEEDS, len(at_each), *at_each[0].shape), generator=torch.Generator().manual_seed(0)
    )
    W = torch.stack(at_each)[None] + noise
    return ToyModels(W, torch.zeros(W.shape[:-1]), torch.tensor(loss).expand(SEEDS, -1))


def curve(dimensions: list[float]) -> ToyModels:
    """Many features, in groups that share dimensions so that m / |W|² is as asked at each density."""
    m, n = PRESET.many.n_hidden, PRESET.many.n_features
    at_each = []
    for each in dimensions:
        W = torch.zeros(n, m)
        for feature in range(round(m / each)):
            W[feature, feature % m] = 1.0
        at_each.append(W * (m / each / round(m / each)) ** 0.5)
    return ToyModels(
        torch.stack(at_each)[None].expand(SEEDS, -1, -1, -1),
        torch.zeros(SEEDS, len(at_each), n),
        torch.zeros(SEEDS, len(at_each)),
    )


STICKING = [1.0, 1.0, 0.9, 0.7, 0.52, 0.5, 0.5, 0.5, 0.48, 0.4, 0.35, 0.3]
SMOOTH = [1.0 - 0.7 * i / 11 for i in range(12)]


@pytest.fixture
def study() -> Study:
    study = Study(
        PRESET,
        five=family([TWO] * 9 + [PENTAGON], [0.0] * 10),
        five_linear=family([TWO, TWO], [0.0, 0.0]),
        five_untrained=family([PENTAGON] * 10, [0.0] * 10),
        many=curve(STICKING),
        many_linear=curve([1.0, 1.0, 1.0]),
    )
    two = study.two_only
    ratio = torch.tensor([1.0] * 9 + [0.3])
    return replace(
        study,
        five=replace(study.five, loss=(two * ratio).expand(SEEDS, -1)),
        five_linear=replace(study.five_linear, loss=two[[0, -1]].expand(SEEDS, -1)),
    )


def verdict(claim, study: Study) -> str:
    return claim.tested(study)["verdict"]


def test_written_by_hand_every_claim_holds(study: Study):
    for claim in (dense_two_orthogonal, sparse_pentagon, superposition_pays, plateaus):
        tested = claim.tested(study)
        assert tested["verdict"] == "supported", tested["reason"]


def test_a_rotated_mixture_is_no_pair_of_features(study: Study):
    turned = TWO.clone()
    turned[2] = torch.tensor([0.7, 0.7])
    changed = replace(study, five=family([turned] * 9 + [PENTAGON], [0.0] * 10))
    assert verdict(dense_two_orthogonal, changed) == "refuted"
    aslant = TWO.clone()
    aslant[1] = torch.tensor([0.6, 0.8])
    assert verdict(dense_two_orthogonal, replace(study, five=family([aslant] * 10, [0.0] * 10))) == "refuted"


def test_small_norms_show_nothing_if_they_were_small_before(study: Study):
    assert (
        verdict(dense_two_orthogonal, replace(study, five_untrained=family([TWO] * 10, [0.0] * 10)))
        == "inconclusive"
    )


def test_pairs_are_no_pentagon_and_a_linear_pentagon_is_a_failed_control(study: Study):
    assert verdict(sparse_pentagon, replace(study, five=family([TWO] * 9 + [PAIRS], [0.0] * 10))) == "refuted"
    assert (
        verdict(sparse_pentagon, replace(study, five_linear=family([TWO, PENTAGON], [0.0, 0.0])))
        == "inconclusive"
    )


def test_a_pentagon_that_costs_what_it_gains_is_refuted(study: Study):
    loss = study.two_only.expand(SEEDS, -1)
    assert verdict(superposition_pays, replace(study, five=replace(study.five, loss=loss))) == "refuted"


def test_a_straight_line_sticks_nowhere(study: Study):
    assert verdict(plateaus, replace(study, many=curve(SMOOTH))) == "refuted"


def test_a_plateau_is_measured_between_the_points_as_well():
    # From 0.7 at 1 down to 0.5 at 2, there until 4, up to 0.9 at 5: near 1/2 from 1.75 to 4.125.
    low, high = plateau([0.0, 1.0, 2.0, 4.0, 5.0], [1.0, 0.7, 0.5, 0.5, 0.9])
    assert (low, high) == pytest.approx((1.75, 4.125), abs=5 / 2000)
    assert plateau([0.0, 1.0], [1.0, 0.9]) == (0.0, 0.0)
