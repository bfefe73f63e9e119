"""The training loop, its schedules, history and checkpoints."""

from unweave.training.config import TrainConfig
from unweave.training.loop import Run, TrainingDiverged, train
from unweave.training.schedules import Constant, LinearWarmup

__all__ = ["Constant", "LinearWarmup", "Run", "TrainConfig", "TrainingDiverged", "train"]
