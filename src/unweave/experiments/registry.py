"""Experiments by name, and what each of them can do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unweave.core.errors import InputError

NAMES = {
    "no-position": "unweave.experiments.no_position.run",
    "spike-study": "unweave.experiments.spike_study.run",
    "superposition": "unweave.experiments.superposition.run",
}


@dataclass(frozen=True)
class ExperimentRun:
    """What a finished run left: `results` as in results.json, and the page made of them."""

    results: dict[str, Any]
    report: Path

    @property
    def claims(self) -> list[dict[str, Any]]:
        return self.results["claims"]


@runtime_checkable
class Experiment(Protocol):
    """An experiment that the command line can run."""

    def run(
        self, preset: str, seed: int, out: Path, progress: bool = False, seeds: int | None = None
    ) -> ExperimentRun:
        """Train, analyse, test the claims, and write everything into `out`.

        `seeds` is how many trainings the claims are judged over, `seed` and those after it; by
        default as many as the preset says.
        """
        ...

    def test_claims(
        self, model_dir: Path, control_dir: Path | None = None, progress: bool = False
    ) -> list[dict[str, Any]]:
        """Test the claims on a saved model."""
        ...


def load_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        InputError: for a name that is not known.
    """
    if name not in NAMES:
        raise InputError(
            wanted="the name of an experiment", got=repr(name), remedy=f"known ones: {', '.join(NAMES)}"
        )
    return import_module(NAMES[name]).EXPERIMENT
