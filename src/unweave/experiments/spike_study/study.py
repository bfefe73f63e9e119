"""What the claims are tested on: every training, what a finished model takes for spikes, and the branches."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.files import write_json_atomic
from unweave.experiments.spike_study.trained import Trained, rate_of

UNCHANGED, RATE_OF_MIN, BRANCH_FASTER = "unchanged", "the rate of min", "beta2 0.8"
STUDY = "study.json"


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
        steps: of every run.
        frozen: the losses of finished models that are trained no further, on further batches.
        branches: of every kind, seed and stream.
    """

    steps: int
    runs: Mapping[str, Sequence[Trained]]
    frozen: Mapping[str, Sequence[list[float]]]
    branches: Sequence[Branch]

    @property
    def seeds(self) -> list[int]:
        """Of every cell."""
        return [run.seed for run in next(iter(self.runs.values()))]

    def rates(self, cell: str) -> Float[Tensor, " seed"]:
        """Spikes per 1000 steps after learning."""
        return torch.tensor([run.rate for run in self.runs[cell]], dtype=torch.float64)

    def large_rates(self, cell: str) -> Float[Tensor, " seed"]:
        """The same, of spikes that rise above 1% of a uniform guess' loss alone."""
        return torch.tensor([run.large_rate for run in self.runs[cell]], dtype=torch.float64)

    def frozen_rates(self, cell: str) -> Float[Tensor, " seed"]:
        """Spikes per 1000 batches that are none of training: bad luck with batches."""
        return torch.tensor([rate_of(losses) for losses in self.frozen[cell]], dtype=torch.float64)

    def branch_rates(self, kind: str) -> Float[Tensor, " seed"]:
        """Spikes per 1000 steps of a kind of branch, the mean over its streams; NaN for a seed that has none."""
        found: list[float] = []
        for seed in self.seeds:
            rates = [
                rate_of(branch.losses, branch.since)
                for branch in self.branches
                if (branch.kind, branch.seed) == (kind, seed)
            ]
            found.append(sum(rates) / len(rates) if rates else math.nan)
        return torch.tensor(found, dtype=torch.float64)

    def own_rates(self, cell: str, since: int) -> Float[Tensor, " seed"]:
        """Spikes per 1000 steps of the runs themselves from a step on."""
        return torch.tensor([rate_of(run.losses, since) for run in self.runs[cell]], dtype=torch.float64)

    def shortest(self, *cells: str) -> int:
        """The least number of steps after learning, of all runs of these cells."""
        return min(run.exposure for cell in cells for run in self.runs[cell])

    def save(self, folder: Path) -> None:
        """Write everything into `folder/study.json`, which `load` reads."""
        write_json_atomic(
            folder / STUDY,
            {
                "steps": self.steps,
                "runs": {cell: [asdict(run) for run in runs] for cell, runs in self.runs.items()},
                "frozen": {cell: list(losses) for cell, losses in self.frozen.items()},
                "branches": [asdict(branch) for branch in self.branches],
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Study:
        """The study that lies in a folder.

        Raises:
            InputError: if there is none.
        """
        try:
            values = json.loads((folder / STUDY).read_text(encoding="utf-8"))
            return cls(
                values["steps"],
                {cell: [Trained(**run) for run in runs] for cell, runs in values["runs"].items()},
                values["frozen"],
                [Branch(**branch) for branch in values["branches"]],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                wanted=f"the folder of a finished spike study, with its {STUDY}",
                got=str(error),
                remedy="name one that unweave run spike-study wrote",
            ) from None
