"""The toy models' numbers against answers worked by hand, and against the task that they stand for."""

import math
from dataclasses import replace

import pytest
import torch

from unweave.core.seeds import generator
from unweave.experiments.superposition.presets import falling
from unweave.experiments.superposition.study import Study, neighbouring_angles
from unweave.experiments.superposition.toy_models import ToyModels, ToyTraining, train_toys
from unweave.tasks import SparseFeatures

SMALL = ToyTraining(5, 2, 0.9, (1.0, 0.2), steps=5, batch_size=64)


def models(W: torch.Tensor) -> ToyModels:
    W = W[None, None]
    return ToyModels(W, torch.zeros(W.shape[:-1]), torch.zeros(1, 1))


def polygon(n: int) -> torch.Tensor:
    angles = torch.arange(n) * 2 * math.pi / n
    return torch.stack([angles.cos(), angles.sin()], 1)


@pytest.mark.parametrize(
    ("W", "each", "per_feature"),
    [
        (polygon(5), [2 / 5] * 5, 2 / 5),
        (torch.tensor([[1.0, 0], [0, 1], [0, 0]]), [1, 1, 0], 1.0),
        # Two antipodal pairs: each feature has half a dimension.
        (torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), [0.5] * 4, 0.5),
        # Half as long: as many dimensions each, but the norms count it as a quarter of a feature.
        (polygon(5) / 2, [2 / 5] * 5, 8 / 5),
    ],
)
def test_dimensions_of_features_known_by_hand(W, each, per_feature):
    found = models(W)
    assert found.dimensionality[0, 0].tolist() == pytest.approx(each, abs=1e-6)
    assert found.dimensions_per_feature.item() == pytest.approx(per_feature)


def test_angles_between_neighbours_go_round_once():
    shuffled = polygon(5)[[3, 0, 4, 1, 2]]
    assert neighbouring_angles(shuffled).tolist() == pytest.approx([72.0] * 5, abs=1e-4)
    three = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    assert sorted(neighbouring_angles(three).tolist()) == pytest.approx([90, 90, 180])


def test_the_loss_is_the_tasks():
    """The held-out loss of untrained models is what the task says of the same weights, within its noise."""
    how = replace(SMALL, steps=0, densities=(0.3,), batch_size=2048)
    found = train_toys(how, [0])
    task = SparseFeatures(n_features=5, probability=0.3, decay=0.9)
    features = task.held_out(100_000)
    W, b = found.W[0, 0], found.b[0, 0]
    theirs = task.loss((features @ W @ W.T + b).relu(), features).item()
    assert found.loss.item() == pytest.approx(theirs, rel=0.02)
    # Without the importance it would be another number.
    assert (((features @ W @ W.T).relu() - features) ** 2).mean().item() > 1.1 * theirs


def test_keeping_two_has_the_loss_that_the_formula_says():
    """By drawing: the first two given back, the others answered by half their density."""
    density, draws = 0.3, 400_000
    uniform = torch.rand((draws, 3), generator=generator(0, "draws"))
    x = torch.where(uniform < density, uniform / density, 0.0)
    importance = 0.9 ** torch.arange(2, 5)
    drawn = (importance * (x - density / 2) ** 2).sum(1).mean() / 5
    preset = type("Preset", (), {"five": replace(SMALL, densities=(density,))})()
    assert Study.two_only.fget(type("S", (), {"preset": preset})()).item() == pytest.approx(
        drawn.item(), rel=0.01
    )


def test_a_seeds_models_do_not_depend_on_those_beside_it():
    together, alone = train_toys(SMALL, [0, 1]), train_toys(SMALL, [1])
    assert torch.equal(together.W[1], alone.W[0])
    assert not torch.equal(together.W[0], together.W[1])


def test_training_comes_to_the_loss_of_keeping_two():
    """At density 1, close to the optimum on every seed; one that answers with means alone has twice that."""
    how = replace(SMALL, steps=400, densities=(1.0,), lr=1e-2)
    keeping_two = 1 / 12 * (0.9**2 + 0.9**3 + 0.9**4) / 5
    assert (train_toys(how, range(2)).loss[:, 0] < 1.2 * keeping_two).all()


def test_densities_fall_from_one_by_equal_factors():
    assert falling(50.0, 3) == pytest.approx((1.0, 50**-0.5, 0.02))
