"""Say what to change inside a model, and get exact answers fast: interventions, sweeps, metrics."""

from unweave.core.results import Recheck, Result
from unweave.engine.inputs import Inputs
from unweave.engine.intervene import Hit, Intervened, intervene
from unweave.engine.metrics import KL, LogitDifference, Loss, Metric, Probability, Rank
from unweave.engine.operations import (
    Add,
    Apply,
    Freeze,
    Interchange,
    Mean,
    Operation,
    ProjectOut,
    Resample,
    Set,
    Zero,
)
from unweave.engine.site import Intervention, Site
from unweave.engine.sweep import sweep

__all__ = [
    "KL",
    "Add",
    "Apply",
    "Freeze",
    "Hit",
    "Inputs",
    "Interchange",
    "Intervened",
    "Intervention",
    "LogitDifference",
    "Loss",
    "Mean",
    "Metric",
    "Operation",
    "Probability",
    "ProjectOut",
    "Rank",
    "Recheck",
    "Resample",
    "Result",
    "Set",
    "Site",
    "Zero",
    "intervene",
    "sweep",
]
