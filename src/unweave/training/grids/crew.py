"""What every engine of a grid offers: workers that take jobs and say what becomes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from unweave.training.grids.job import Ended, Job, Reported


class Crew(ABC):
    """Workers. Whoever has them closes them, whatever happened."""

    @property
    @abstractmethod
    def told(self) -> str:
        """Who they are, in words."""

    @abstractmethod
    def free(self) -> int:
        """How many more jobs can be begun now."""

    @abstractmethod
    def start(self, job: Job) -> None:
        """Give a job to a worker that is free."""

    @abstractmethod
    def events(self, timeout: float) -> Sequence[Reported | Ended]:
        """What has happened; waits at most so many seconds for something."""

    @abstractmethod
    def stop(self) -> None:
        """Ask every worker to stop after its step, with a checkpoint; each says that it ended."""

    @abstractmethod
    def close(self) -> None:
        """End every worker; at once, if it has not ended by itself."""
