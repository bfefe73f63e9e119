"""Schedules: pure functions of the step, with values that can be read and saved."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unweave.core.errors import InputError


@dataclass(frozen=True)
class Constant:
    """The same at every step."""

    value: float = 1.0

    def __post_init__(self) -> None:
        _require_number(self, "value")

    def __call__(self, step: int) -> float:
        """`value`, whatever the step."""
        return float(self.value)


@dataclass(frozen=True)
class Ramp:
    """`step / steps`, growing without end: a part for `Smaller` and `Larger`, and rarely a schedule by itself."""

    steps: int = 100

    def __post_init__(self) -> None:
        _require_steps(self, "steps")

    def __call__(self, step: int) -> float:
        """How many times `steps` lie behind."""
        return step / self.steps


@dataclass(frozen=True)
class LinearWarmup:
    """`min(step / steps, 1)`: 0 at step 0, and 1 from step `steps` on."""

    steps: int = 100

    def __post_init__(self) -> None:
        _require_steps(self, "steps")

    def __call__(self, step: int) -> float:
        """The share of the warmup that lies behind, 1 at most."""
        return min(step / self.steps, 1.0)


@dataclass(frozen=True)
class LinearDecay:
    """From 1 down to `final` in `steps` steps along a line, then `final`."""

    steps: int = 1000
    final: float = 0.0

    def __post_init__(self) -> None:
        _require_steps(self, "steps")
        _require_number(self, "final")

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return _between(1.0, self.final, step / self.steps)


@dataclass(frozen=True)
class Cosine:
    """From 1 down to `final` in `steps` steps along half a cosine, then `final`.

    Loshchilov and Hutter (2017), arXiv:1608.03983, without restarts.
    """

    steps: int = 1000
    final: float = 0.0

    def __post_init__(self) -> None:
        _require_steps(self, "steps")
        _require_number(self, "final")

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return _between(1.0, self.final, (1 - math.cos(math.pi * min(step / self.steps, 1.0))) / 2)


@dataclass(frozen=True)
class WarmupStableDecay:
    """Up to 1 in `warmup` steps, 1 for `stable`, down to `final` in `decay`, along lines.

    Hu et al. (2024), arXiv:2404.06395.
    """

    warmup: int = 100
    stable: int = 700
    decay: int = 200
    final: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warmup", "stable", "decay"):
            _require_steps(self, name)
        _require_number(self, "final")

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        if step < self.warmup:
            return step / self.warmup
        return _between(1.0, self.final, (step - self.warmup - self.stable) / self.decay)


@dataclass(frozen=True)
class InverseSquareRoot:
    """Up to 1 in `warmup` steps along a line, then `sqrt(warmup / step)`.

    Vaswani et al. (2017), arXiv:1706.03762.
    """

    warmup: int = 100

    def __post_init__(self) -> None:
        _require_steps(self, "warmup")

    def __call__(self, step: int) -> float:
        """The multiplier at `step`."""
        return step / self.warmup if step < self.warmup else math.sqrt(self.warmup / step)


def _between(first: float, last: float, share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    # Not first + share * (last - first), which misses `last` by a rounding error.
    return (1 - share) * first + share * last


def _require_steps(schedule: object, name: str) -> None:
    value = getattr(schedule, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(
            wanted=f"at least 1 step for {name}",
            got=repr(value),
            remedy=f"set {name} in {type(schedule).__name__}, or use Constant() for no schedule",
        )


def _require_number(schedule: object, name: str) -> None:
    value = getattr(schedule, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(
            wanted=f"a number of at least 0 for {name}",
            got=repr(value),
            remedy=f"set {name} in {type(schedule).__name__}",
        )
