"""The same study as a notebook that runs from top to bottom beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.experiments import notebook
from unweave.experiments.spike_study.claims import CLAIMS

SETUP = """\
import json
from pathlib import Path

from unweave.experiments.spike_study import claims, pictures, tables
from unweave.experiments.spike_study.study import Study

run = Path(".")  # the folder that `unweave run spike-study` wrote
results = json.loads((run / "results.json").read_text())
study = Study.load(run)
{cell: [len(run.spikes) for run in runs] for cell, runs in study.runs.items()}"""

STEPS: tuple[notebook.Step, ...] = (
    (
        "## Training\n\nThe first seed with the original's settings of AdamW. Before you look: where will the first spike be?",
        "pictures.loss_curves(tables.losses(study))",
    ),
    (
        "## One run\n\nIts history, when it had learned, and its spikes after that.",
        'one = study.runs["max, original"][0]\none.learned, one.rate, one.spikes[:5]',
    ),
    (
        "## What each change removes\n\nOne thing changed at a time, paired by seed. Which bar will be longest?",
        "effects = tables.effects(study)\n"
        'for row in effects:\n    print(row["from"], "->", row["change"], row["share removed"])',
    ),
    (
        "## What two changes do together\n\nBeyond the sum of what each does alone.",
        "tables.interactions(study)",
    ),
    (
        "## From the same place\n\nBranches from checkpoints of `max, original`, and finished models that are not trained.",
        "tables.branches(study), tables.frozen(study)",
    ),
    (
        "## Spikes taken apart\n\nHow much of each spike's rise do other batches have as well, in the same model?",
        'tables.states(results["apart"])',
    ),
)


def write_notebook(path: Path, results: Mapping[str, Any]) -> Path:
    """Write the notebook of a study; it reads what lies beside it."""
    title = (
        "# Loss spikes\n\nThe no-position training spikes. How much of it does each cause explain?\n\nPreset "
        f"`{results['preset']}`, seeds {results['seed']}. Made by `unweave run spike-study`; run it from the folder "
        "that it lies in."
    )
    return notebook.write(path, title, SETUP, STEPS, CLAIMS)
