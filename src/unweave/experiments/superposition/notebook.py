"""The same analysis as a notebook that runs from top to bottom beside its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.experiments import notebook
from unweave.experiments.superposition.claims import CLAIMS

SETUP = """\
from pathlib import Path

from unweave.experiments.superposition import claims, pictures, run

study = run.open_study(Path("."))  # the folder that `unweave run superposition` wrote
study.five.W.shape  # seed, density, feature, hidden"""

STEPS: tuple[notebook.Step, ...] = (
    (
        "## Five features in two dimensions\n\nBefore you look: where would you put five directions in a plane, if the features "
        "seldom meet?",
        "five = run.five(study)\npictures.directions(five)",
    ),
    ("What comes back of each feature, and what it disturbs:", "pictures.grams(five)"),
    ("How many are kept, with and without the ReLU:", "pictures.features_kept(five)"),
    (
        "## Many features of equal importance\n\nWill the dimensions per feature fall smoothly as features become rarer?",
        "many = run.many(study, 0)\npictures.dimensions_per_feature(many)",
    ),
    ("", "pictures.dimensionality(many)"),
)


def write_notebook(path: Path, results: Mapping[str, Any]) -> Path:
    """Write the notebook of a run; it reads the models beside it."""
    title = (
        "# Superposition\n\nMore features than dimensions: when does a narrow model keep them all?\n\n"
        f"Preset `{results['preset']}`, {len(results['seeds'])} seeds from {results['seed']}. Made by "
        "`unweave run superposition`; run it from the folder that it lies in."
    )
    return notebook.write(path, title, SETUP, STEPS, CLAIMS)
