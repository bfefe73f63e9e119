"""What is varied: the schedule, and AdamW's settings; one cell is a choice of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from unweave.training import Constant, Larger, LinearWarmup, Ramp, TrainConfig

WARMUP = 100
MIN = LinearWarmup(WARMUP)
# `max(step / 100, 1)`: the slip that a reader of the original found, where `min` was meant.
MAX = Larger(Ramp(WARMUP), Constant())


@dataclass(frozen=True)
class Cell:
    """One way to train, in everything else the same as the others, seed by seed.

    Args:
        schedule: "min" and "max" as above; "matched" is `min` with the rate at which a run's sum of
            learning rates is that of `max`.
        changed: fields of the training that are not the original's.
    """

    schedule: str
    setting: str
    changed: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """Also the folder that its runs are in."""
        return f"{self.schedule}, {self.setting}"

    def training(self, base: TrainConfig) -> TrainConfig:
        """The training of this cell, where `base` is the original's, without its schedule."""
        lr = base.lr
        if self.schedule == "matched":
            lr *= mean(MAX(step) for step in range(base.steps)) / mean(
                MIN(step) for step in range(base.steps)
            )
        return dataclasses.replace(
            base, lr=lr, schedule=MAX if self.schedule == "max" else MIN, **self.changed
        )


ORIGINAL = "original"
FASTER = "beta2 0.8"
UNCLIPPED = "no clipping"
DAMPED = "eps 1e-3"
SLOWER = "beta2 0.999"

# Each takes one cause away, or makes it stronger.
SETTINGS: dict[str, dict[str, Any]] = {
    ORIGINAL: {},
    # The second moment remembers 5 steps in place of 20: it can hardly lag behind the gradients.
    FASTER: {"betas": (0.9, 0.8)},
    UNCLIPPED: {"max_grad_norm": None},
}
# These under `max` alone.
FURTHER: dict[str, dict[str, Any]] = {
    # About the size of a gradient's root mean square: small gradients no longer become full-sized steps.
    DAMPED: {"eps": 1e-3},
    # It remembers 1000 steps: the control of what the shorter memory is to show.
    SLOWER: {"betas": (0.9, 0.999)},
}

CELLS: tuple[Cell, ...] = (
    *(Cell("max", name, changed) for name, changed in (SETTINGS | FURTHER).items()),
    *(Cell("min", name, changed) for name, changed in SETTINGS.items()),
    Cell("matched", ORIGINAL),
)
