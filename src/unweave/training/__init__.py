"""The training loop, its schedules, history and checkpoints."""

from unweave.training.config import TrainConfig
from unweave.training.ensembles import Ensemble, train_ensemble
from unweave.training.grids import Grid, GridResults, run_grid
from unweave.training.loop import Run, TrainingDiverged, train
from unweave.training.run_file import RunConfig
from unweave.training.schedules import (
    Constant,
    Cosine,
    InverseSquareRoot,
    Larger,
    LinearDecay,
    LinearWarmup,
    Product,
    Ramp,
    Smaller,
    Then,
    WarmupStableDecay,
)

__all__ = [
    "Constant",
    "Cosine",
    "Ensemble",
    "Grid",
    "GridResults",
    "InverseSquareRoot",
    "Larger",
    "LinearDecay",
    "LinearWarmup",
    "Product",
    "Ramp",
    "Run",
    "RunConfig",
    "Smaller",
    "Then",
    "TrainConfig",
    "TrainingDiverged",
    "WarmupStableDecay",
    "run_grid",
    "train",
    "train_ensemble",
]
