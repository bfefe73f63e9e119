"""Runs seen through analyses: what any measure says at each of a run's checkpoints."""

from unweave.explore import measures
from unweave.explore.dynamics import Dynamics
from unweave.explore.over_checkpoints import over_checkpoints

__all__ = ["Dynamics", "measures", "over_checkpoints"]
