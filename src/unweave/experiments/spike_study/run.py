"""The study from trainings to report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.events import emit
from unweave.core.files import write_json_atomic
from unweave.experiments.clock import Clock
from unweave.experiments.folder import made_by, own_folder
from unweave.experiments.registry import ExperimentRun
from unweave.experiments.spike_study import tables
from unweave.experiments.spike_study.apart import take_apart
from unweave.experiments.spike_study.claims import CLAIMS
from unweave.experiments.spike_study.notebook import write_notebook
from unweave.experiments.spike_study.presets import Preset, find_preset
from unweave.experiments.spike_study.report import write_report
from unweave.experiments.spike_study.runs import jobs, run_all
from unweave.experiments.spike_study.study import Study
from unweave.experiments.telling import told

SCHEMA = {"name": "unweave.spike-study", "version": 1}


class SpikeStudy:
    """Schedule by AdamW setting by seed."""

    def run(
        self,
        preset: str,
        seed: int,
        out: Path,
        progress: bool = False,
        seeds: int | None = None,
        workers: int | None = None,
    ) -> ExperimentRun:
        """Train every cell on every seed, test the claims, and write the page.

        Stopped and begun again with the same settings, it goes on where it was.

        Args:
            seed: the first; those after it follow.
            seeds: how many, at least 2: intervals are over seeds. By default as many as the preset says.
            workers: processes, of one thread each; by default as many as there are cores.

        Raises:
            InputError: for an unknown preset, fewer than two seeds, or an `out` that is a file or holds another study.
        """
        chosen = find_preset(preset)
        many = chosen.seeds if seeds is None else seeds
        if many < 2:
            raise InputError(
                wanted="at least 2 seeds: every interval of the study is over seeds",
                got=f"seeds={many}",
                remedy=f"leave --seeds out for {chosen.seeds}",
            )
        which = range(seed, seed + many)
        own_folder(out, "spike-study", chosen.name, _in_words(which))
        clock = Clock()
        with clock("training, branches"):
            study = run_all(chosen, which, out, workers, progress)
        with clock("spikes taken apart"):
            apart = take_apart(jobs(chosen, which, out), workers, progress)
        with clock("analysis"):
            results = analyse(study, chosen, which, apart)
        results["times"] = clock.seconds
        write_json_atomic(out / "results.json", results)
        write_notebook(out / "notebook.ipynb", results)
        emit("experiment", lambda: told(results))
        return ExperimentRun(results, write_report(out / "report.html", results))

    def test_claims(
        self, model_dir: Path, control_dir: Path | None = None, progress: bool = False
    ) -> list[dict[str, Any]]:
        """Test the claims again on the study in a folder: they are about trainings, not about one model.

        Raises:
            InputError: for a folder without a study, or a control, which the study has of its own.
        """
        if control_dir is not None:
            raise InputError(
                wanted="no control: the study has its own",
                got=str(control_dir),
                remedy="leave --control out",
            )
        study = Study.load(model_dir)
        return [claim.tested(study) for claim in CLAIMS]


EXPERIMENT = SpikeStudy()


def analyse(
    study: Study, chosen: Preset, seeds: Sequence[int], apart: list[dict[str, Any]]
) -> dict[str, Any]:
    """Everything that the page says, as JSON values."""
    training = chosen.training.to_dict()
    for varied in ("schedule", "seed"):
        del training[varied]
    return {
        "schema": SCHEMA,
        **made_by("spike-study", chosen.name, _in_words(seeds)),
        "seeds": list(seeds),
        "threads": 1,
        "config": {
            "task": chosen.task.to_dict(),
            "model": {name: v for name, v in chosen.model(0).to_dict().items() if name != "seed"},
            "training": training,
            "branch_at": chosen.branch_at,
            "branch_steps": chosen.branch_steps,
            "streams": chosen.streams,
            "frozen": chosen.frozen,
        },
        "cells": tables.cells(study, chosen),
        "effects": tables.effects(study),
        "interactions": tables.interactions(study),
        "by_learning_rate": tables.by_learning_rate(study, chosen),
        "frozen": tables.frozen(study),
        "branches": tables.branches(study),
        "apart": apart,
        "states": tables.states(apart),
        "claims": [claim.tested(study) for claim in CLAIMS],
        "losses": tables.losses(study),
    }


def _in_words(seeds: Sequence[int]) -> str:
    return f"{seeds[0]} to {seeds[-1]}"
