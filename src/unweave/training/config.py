"""What a training run is told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unweave.core.errors import InputError, nearest
from unweave.training.schedules import LinearWarmup, Schedule, schedule_from, schedule_to_dict

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TrainConfig:
    """AdamW with a schedule and gradient clipping.

    Args:
        steps: optimiser steps, each on a fresh batch of `batch_size` sequences.
        lr, betas, eps, weight_decay: AdamW's; the decay falls on every parameter.
        max_grad_norm: gradients are scaled down to this L2 norm; None for no clipping.
        schedule: multiplier of `lr`, a pure function of the step.
        seed: of the stream of batches.
        precision: "fp32", or "bf16" for matrix products with bf16 inputs and fp32 everything else.
        accumulate: parts of a batch that are run one after the other, to save memory; the gradient
            is that of the whole batch.
        checkpoint_every: steps between checkpoints, if the run has a folder; None for none but the
            last and those of the next two.
        checkpoint_at: further steps after which one is written; 0 is before the first.
        checkpoint_per_decade: so many between 1 and 10, 10 and 100 and so on, evenly in the
            logarithm of the step; 0 for none.
        evaluate_every: steps between measurements on held-out sequences; None for none.
        evaluate_size: how many sequences these have.
    """

    steps: int = 1000
    batch_size: int = 256
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_grad_norm: float | None = 1.0
    schedule: Schedule = field(default_factory=LinearWarmup)
    seed: int = 0
    precision: Precision = "fp32"
    accumulate: int = 1
    checkpoint_every: int | None = 500
    checkpoint_at: tuple[int, ...] = ()
    checkpoint_per_decade: int = 0
    evaluate_every: int | None = None
    evaluate_size: int = 256

    def __post_init__(self) -> None:
        for name in ("betas", "checkpoint_at"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        one = "a whole number of at least 1"
        checks: list[tuple[str, bool, str]] = [
            ("steps", _count(self.steps), one),
            ("batch_size", _count(self.batch_size), one),
            ("lr", _finite(self.lr) and self.lr > 0, "a number above 0"),
            (
                "betas",
                isinstance(self.betas, tuple)
                and len(self.betas) == 2
                and all(_finite(beta) and 0 <= beta < 1 for beta in self.betas),
                "two numbers in [0, 1)",
            ),
            ("eps", _finite(self.eps) and self.eps > 0, "a number above 0"),
            ("weight_decay", _finite(self.weight_decay) and self.weight_decay >= 0, "a number of at least 0"),
            (
                "max_grad_norm",
                self.max_grad_norm is None or (_finite(self.max_grad_norm) and self.max_grad_norm > 0),
                "a number above 0, or None",
            ),
            ("schedule", callable(self.schedule), "a function of the step"),
            ("seed", isinstance(self.seed, int), "a whole number"),
            ("precision", self.precision in ("fp32", "bf16"), "'fp32' or 'bf16'"),
            (
                "accumulate",
                _count(self.accumulate) and self.accumulate <= self.batch_size,
                "a whole number from 1 to batch_size",
            ),
            ("checkpoint_every", _count_or_none(self.checkpoint_every), f"{one}, or None"),
            (
                "checkpoint_at",
                isinstance(self.checkpoint_at, tuple) and all(_count(s, 0) for s in self.checkpoint_at),
                "whole numbers of at least 0",
            ),
            ("checkpoint_per_decade", _count(self.checkpoint_per_decade, 0), "a whole number of at least 0"),
            ("evaluate_every", _count_or_none(self.evaluate_every), f"{one}, or None"),
            ("evaluate_size", _count(self.evaluate_size), one),
        ]
        for name, good, wanted in checks:
            if not good:
                raise InputError(
                    wanted=f"{wanted} for {name}",
                    got=repr(getattr(self, name)),
                    remedy=f"set {name} in TrainConfig",
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The config that `to_dict` wrote; what is left out has its default.

        Raises:
            InputError: for an unknown field, or a value that doesn't fit.
        """
        known = [part.name for part in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(
                    wanted="a field of TrainConfig", got=repr(name), remedy=f"nearest: {nearest(name, known)}"
                )
        given = dict(values)
        if "schedule" in given:
            given["schedule"] = schedule_from(given["schedule"])
        for name in ("betas", "checkpoint_at"):
            if isinstance(given.get(name), list):
                given[name] = tuple(given[name])
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the schedule as its name and numbers."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["betas"], values["checkpoint_at"] = list(self.betas), list(self.checkpoint_at)
        values["schedule"] = schedule_to_dict(self.schedule)
        return values

    def checkpoint_steps(self) -> list[int]:
        """The steps after which a checkpoint is written, the last one included."""
        every = range(0, self.steps + 1, self.checkpoint_every)[1:] if self.checkpoint_every else ()
        n = self.checkpoint_per_decade
        powers = (10 ** (i / n) for i in range(math.ceil(n * math.log10(self.steps)) + 1)) if n else ()
        wanted = {*every, *self.checkpoint_at, *(round(power) for power in powers), self.steps}
        return sorted(step for step in wanted if step <= self.steps)


def _count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _count_or_none(value: object) -> bool:
    return value is None or _count(value)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
