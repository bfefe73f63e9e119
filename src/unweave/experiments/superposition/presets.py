"""The two families of toy models, as they are set beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unweave.core.errors import InputError
from unweave.experiments.superposition.toy_models import ToyTraining


@dataclass(frozen=True)
class Preset:
    """One way of running the experiment.

    Attributes:
        five: n = 5, m = 2, importance 0.9^i, density 50^-x.
        many: equal importance and many features.
        seeds: of `five`, each a separate training of every density.
        many_seeds: likewise, of `many`.
    """

    name: str
    five: ToyTraining
    many: ToyTraining
    seeds: int
    many_seeds: int


def falling(base: float, n: int) -> tuple[float, ...]:
    """`base^-x` for n values of x from 0 to 1."""
    return tuple(float(base**-x) for x in torch.linspace(0, 1, n).tolist())


PRESETS = {
    "quick": Preset(
        "quick",
        five=ToyTraining(5, 2, 0.9, falling(50.0, 10), steps=10000, batch_size=512),
        many=ToyTraining(64, 8, 1.0, falling(20.0, 12), steps=3000, batch_size=256, lr=3e-3),
        seeds=8,
        many_seeds=3,
    ),
    # The sizes of the paper's notebook, over more seeds.
    "paper": Preset(
        "paper",
        five=ToyTraining(5, 2, 0.9, falling(50.0, 10), steps=10000, batch_size=1024),
        many=ToyTraining(200, 20, 1.0, falling(20.0, 20), steps=10000, batch_size=1024),
        seeds=8,
        many_seeds=5,
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: for a name that is not known.
    """
    if name not in PRESETS:
        raise InputError(
            wanted="the name of a preset", got=repr(name), remedy=f"known ones: {', '.join(PRESETS)}"
        )
    return PRESETS[name]
