"""What the claims are tested on: every training, what a finished model takes for spikes, and the branches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.experiments.spike_study.trained import Trained, rate_of

UNCHANGED, RATE_OF_MIN, BRANCH_FASTER = "unchanged", "the rate of min", "beta2 0.8"


@dataclass(frozen=True)
class Branch:
    """A run that went on from a checkpoint of `max, original`, on batches of its own.

    Args:
        losses: of the run up to the checkpoint, and then of the branch.
        since: the step at which it left.
    """

    kind: str
    seed: int
    stream: int
    losses: list[float]
    since: int


@dataclass(frozen=True)
class Study:
    """All that was measured, by name of the cell; lists go by seed, the same ones in each.

    Args:
        frozen: the losses of finished models that are trained no further, on further batches of their stream.
        branches: of every kind, seed and stream.
    """

    steps: int
    runs: Mapping[str, Sequence[Trained]]
    frozen: Mapping[str, Sequence[list[float]]]
    branches: Sequence[Branch]

    def rates(self, cell: str) -> Float[Tensor, " seed"]:
        """Spikes per 1000 steps after learning."""
        return torch.tensor([run.rate for run in self.runs[cell]], dtype=torch.float64)

    def frozen_rates(self, cell: str) -> Float[Tensor, " seed"]:
        """Spikes per 1000 batches that are none of training: bad luck with batches."""
        return torch.tensor([rate_of(losses) for losses in self.frozen[cell]], dtype=torch.float64)

    def branch_rates(self, kind: str) -> Float[Tensor, " seed"]:
        """Spikes per 1000 steps of a kind of branch, the mean over its streams."""
        by_seed: dict[int, list[float]] = {}
        for branch in self.branches:
            if branch.kind == kind:
                by_seed.setdefault(branch.seed, []).append(rate_of(branch.losses, branch.since))
        return torch.tensor([sum(r) / len(r) for _, r in sorted(by_seed.items())], dtype=torch.float64)

    def own_rates(self, cell: str, since: int) -> Float[Tensor, " seed"]:
        """Spikes per 1000 steps of the runs themselves from a step on."""
        return torch.tensor(
            [rate_of(run.losses, since) if len(run.losses) > since else math.nan for run in self.runs[cell]],
            dtype=torch.float64,
        )

    def shortest(self, *cells: str) -> int:
        """The least number of steps after learning, of all runs of these cells."""
        return min(run.exposure for cell in cells for run in self.runs[cell])
