"""What a schedule is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """`schedule(step)` is what the learning rate is multiplied by at that step, counted from 0."""

    def __call__(self, step: int, /) -> float:
        """The multiplier at `step`."""
        ...
