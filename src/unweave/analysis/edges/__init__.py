"""Edges: how much each matters, exactly or by gradients, and runs in which any set of them is cut."""

from unweave.analysis.edges.attribution import attribute
from unweave.analysis.edges.patching import patch, patch_sets, possible, run

__all__ = ["attribute", "patch", "patch_sets", "possible", "run"]
