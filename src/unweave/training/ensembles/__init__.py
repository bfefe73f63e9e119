"""Many models of one shape, trained at once."""

from unweave.training.ensembles.ensemble import Ensemble
from unweave.training.ensembles.loop import train_ensemble

__all__ = ["Ensemble", "train_ensemble"]
