"""What comes of an ensemble: a run for every member."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.training.loop import Run


@dataclass(frozen=True)
class Ensemble:
    """The members' runs, in the order of their configs; each is what `train` gives of it, up to rounding.

    Args:
        runs: a model that opens like any other, its history, and its folder, if it has one.
        out: the folder of the folders.
        diverged: members that stopped because their loss or gradient was no longer finite, and what
            it was; their models are those before that step.
    """

    runs: tuple[Run, ...]
    out: Path | None = None
    diverged: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __getitem__(self, member: int) -> Run:
        return self.runs[member]

    @property
    def losses(self) -> Float[Tensor, "member step"]:
        """Each member's loss before each update, in nats; NaN after it diverged."""
        most = max(len(run.history) for run in self.runs)
        rows = [[record.loss for record in run.history] for run in self.runs]
        return torch.tensor([row + [math.nan] * (most - len(row)) for row in rows], dtype=torch.float64)
