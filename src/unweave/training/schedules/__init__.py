"""Learning-rate schedules: pure functions of the step, with values that can be read, saved, told and drawn."""

from unweave.training.schedules.compositions import Larger, Product, Smaller, Then
from unweave.training.schedules.description import Described, described, plot_schedules
from unweave.training.schedules.schedule import Schedule
from unweave.training.schedules.shapes import (
    Constant,
    Cosine,
    InverseSquareRoot,
    LinearDecay,
    LinearWarmup,
    Ramp,
    WarmupStableDecay,
)
from unweave.training.schedules.written import SCHEDULES, schedule_from, schedule_to_dict

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "Described",
    "InverseSquareRoot",
    "Larger",
    "LinearDecay",
    "LinearWarmup",
    "Product",
    "Ramp",
    "Schedule",
    "Smaller",
    "Then",
    "WarmupStableDecay",
    "described",
    "plot_schedules",
    "schedule_from",
    "schedule_to_dict",
]
