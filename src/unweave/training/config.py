"""What a training run is told."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from unweave.core.errors import InputError
from unweave.training.schedules import LinearWarmup, Schedule

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TrainConfig:
    """AdamW with a schedule and gradient clipping.

    Args:
        steps: optimiser steps, each on a fresh batch of `batch_size` sequences.
        lr, betas, weight_decay: AdamW's; the decay falls on every parameter.
        max_grad_norm: gradients are scaled down to this L2 norm; None for no clipping.
        schedule: multiplier of `lr`, a pure function of the step.
        seed: of the stream of batches.
        precision: "fp32", or "bf16" for matrix products with bf16 inputs and fp32 everything else.
        checkpoint_every: steps between checkpoints, if the run has a folder.
    """

    steps: int = 1000
    batch_size: int = 256
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    max_grad_norm: float | None = 1.0
    schedule: Schedule = field(default_factory=LinearWarmup)
    seed: int = 0
    precision: Precision = "fp32"
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if isinstance(self.betas, list):
            object.__setattr__(self, "betas", tuple(self.betas))
        checks: list[tuple[str, bool, str]] = [
            ("steps", _count(self.steps), "a whole number of at least 1"),
            ("batch_size", _count(self.batch_size), "a whole number of at least 1"),
            ("checkpoint_every", _count(self.checkpoint_every), "a whole number of at least 1"),
            ("lr", _finite(self.lr) and self.lr > 0, "a number above 0"),
            (
                "betas",
                isinstance(self.betas, tuple)
                and len(self.betas) == 2
                and all(_finite(beta) and 0 <= beta < 1 for beta in self.betas),
                "two numbers in [0, 1)",
            ),
            ("weight_decay", _finite(self.weight_decay) and self.weight_decay >= 0, "a number of at least 0"),
            (
                "max_grad_norm",
                self.max_grad_norm is None or (_finite(self.max_grad_norm) and self.max_grad_norm > 0),
                "a number above 0, or None",
            ),
            ("schedule", callable(self.schedule), "a function of the step"),
            ("seed", isinstance(self.seed, int), "a whole number"),
            ("precision", self.precision in ("fp32", "bf16"), "'fp32' or 'bf16'"),
        ]
        for name, good, wanted in checks:
            if not good:
                raise InputError(
                    wanted=f"{wanted} for {name}",
                    got=repr(getattr(self, name)),
                    remedy=f"set {name} in TrainConfig",
                )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the schedule as its name and numbers."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["betas"] = list(self.betas)
        schedule = self.schedule
        numbers = dataclasses.asdict(schedule) if dataclasses.is_dataclass(schedule) else {}  # type: ignore[arg-type]
        values["schedule"] = {"name": getattr(schedule, "__name__", type(schedule).__name__), **numbers}
        return values


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
