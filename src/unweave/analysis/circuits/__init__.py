"""Circuits: found by ACDC or from scores, and measured by what the model does without all else."""

from unweave.analysis.circuits.acdc import acdc
from unweave.analysis.circuits.alternatives import Alternatives, equally_good, minimal_sets
from unweave.analysis.circuits.curves import cmd, cpr, curve
from unweave.analysis.circuits.evaluation import compare_ablations, evaluate
from unweave.analysis.circuits.selection import threshold, top_k
from unweave.core.circuit import Circuit

__all__ = [
    "Alternatives",
    "Circuit",
    "acdc",
    "cmd",
    "compare_ablations",
    "cpr",
    "curve",
    "equally_good",
    "evaluate",
    "minimal_sets",
    "threshold",
    "top_k",
]
