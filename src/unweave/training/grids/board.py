"""How far a grid is: every run's state, and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from unweave.training.grids.job import Ended, Reported
from unweave.training.grids.member import Member
from unweave.training.grids.size import work

State = Literal["waiting", "running", "finished", "diverged", "failed", "stopped"]
OVER = ("finished", "diverged", "failed")


@dataclass
class Standing:
    """Where one run stands.

    Args:
        step: steps that are done.
        first: steps that were done before this call, as far as the run itself has said.
        loss: the last that this attempt reported.
        errors: of the attempts that failed.
    """

    member: Member
    work: float
    state: State = "waiting"
    step: int = 0
    first: int | None = None
    loss: float | None = None
    errors: list[str] = field(default_factory=list[str])

    @property
    def steps(self) -> int:
        """Steps that were asked for."""
        return self.member.config.training.steps


class Board:
    """The standings of a grid's runs while it goes on.

    Args:
        finished: names of the runs that were over before.
        told: who works, in words.
    """

    def __init__(self, members: Sequence[Member], finished: Mapping[str, State], told: str) -> None:
        self.told = told
        self._begun: float | None = None
        self.standings = {member.name: Standing(member, work(member.config)) for member in members}
        for name, state in finished.items():
            standing = self.standings[name]
            standing.state, standing.step, standing.first = state, standing.steps, standing.steps

    def begin(self, name: str) -> None:
        """A worker was given this run."""
        self.standings[name].state, self.standings[name].loss = "running", None

    def note(self, event: Reported | Ended) -> None:
        """Take in what a worker said."""
        standing = self.standings[event.name]
        if isinstance(event, Reported):
            # Workers take a while to begin, which says nothing of their pace.
            self._begun = self._begun or time.monotonic()
            standing.state, standing.step, standing.loss = "running", event.step, event.loss
            # The first report comes after the first step of this attempt.
            standing.first = event.step - 1 if standing.first is None else min(standing.first, event.step - 1)
            return
        if event.how in ("failed", "died"):
            standing.errors.append(event.why)
            standing.loss = None
        standing.state = "failed" if event.how == "died" else event.how
        if event.how in ("finished", "diverged"):
            standing.step = standing.steps

    def count(self, *states: State) -> int:
        """How many runs are in one of these states."""
        return sum(standing.state in states for standing in self.standings.values())

    @property
    def share(self) -> float:
        """The part of all work that is done, by floating point operations."""
        whole = sum(standing.work for standing in self.standings.values())
        return sum(standing.work * standing.step / standing.steps for standing in self._all()) / (
            whole or 1.0
        )

    @property
    def left(self) -> float | None:
        """Seconds that are left at the pace so far; None before anything is done."""
        here = sum(s.work * (s.step - s.first) / s.steps for s in self._all() if s.first is not None)
        ahead = sum(s.work * (s.steps - s.step) / s.steps for s in self._all() if s.state != "failed")
        if self._begun is None or here <= 0:
            return None
        return (time.monotonic() - self._begun) * ahead / here

    def _all(self) -> list[Standing]:
        return list(self.standings.values())
