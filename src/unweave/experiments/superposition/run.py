"""The experiment from training to report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unweave.analysis.intervals import over_seeds
from unweave.core.errors import InputError
from unweave.core.events import emit
from unweave.core.files import write_json_atomic
from unweave.experiments.clock import Clock
from unweave.experiments.folder import made_by, own_folder
from unweave.experiments.registry import ExperimentRun
from unweave.experiments.superposition.claims import CLAIMS
from unweave.experiments.superposition.notebook import write_notebook
from unweave.experiments.superposition.presets import find_preset
from unweave.experiments.superposition.report import write_report
from unweave.experiments.superposition.study import PRESENT, Study, train_study
from unweave.experiments.superposition.toy_models import ToyModels
from unweave.experiments.telling import told

SCHEMA = {"name": "unweave.superposition", "version": 1}
MODELS = "models.safetensors"


class Superposition:
    """Toy models that keep more features than they have dimensions."""

    def run(
        self, preset: str, seed: int, out: Path, progress: bool = False, seeds: int | None = None
    ) -> ExperimentRun:
        """Train the toy models and their linear twins, test the claims over the seeds, write the page.

        Raises:
            InputError: for an unknown preset, or an `out` that is a file or holds another run.
        """
        chosen = find_preset(preset)
        number = chosen.seeds if seeds is None else seeds
        folder = own_folder(out, "superposition", chosen.name, seed)
        clock = Clock()
        with clock("training"):
            study = train_study(chosen, seed, number, progress)
            study.save(folder / MODELS)
        with clock("analysis"):
            results = {
                "schema": SCHEMA,
                **made_by("superposition", chosen.name, seed),
                "seeds": list(range(seed, seed + number)),
                "config": {"five": dataclasses.asdict(chosen.five), "many": dataclasses.asdict(chosen.many)},
                "claims": [claim.tested(study) for claim in CLAIMS],
                "five": five(study),
                "many": many(study, seed),
            }
        results["times"] = clock.seconds
        write_json_atomic(folder / "results.json", results)
        write_notebook(folder / "notebook.ipynb", results)
        emit("experiment", lambda: told(results))
        return ExperimentRun(results, write_report(folder / "report.html", results))

    def test_claims(
        self, model_dir: Path, control_dir: Path | None = None, progress: bool = False
    ) -> list[dict[str, Any]]:
        """Test the claims again on the models of a run's folder.

        Raises:
            InputError: for a folder that no run wrote, or a control: the models have their own.
        """
        if control_dir is not None:
            raise InputError(
                wanted="no control folder: the linear models lie beside the others",
                got=str(control_dir),
                remedy="leave it out",
            )
        study = open_study(model_dir)
        return [claim.tested(study) for claim in CLAIMS]


EXPERIMENT = Superposition()


def open_study(folder: Path) -> Study:
    """The models that a run left in its folder.

    Raises:
        InputError: if it is no run's.
    """
    if not (folder / MODELS).exists() or not (folder / "results.json").exists():
        raise InputError(
            wanted="the folder of a superposition run",
            got=f"{folder}, without {MODELS} and results.json",
            remedy="name one that `unweave run superposition --out` wrote",
        )
    preset = json.loads((folder / "results.json").read_text(encoding="utf-8"))["preset"]
    return Study.load(folder / MODELS, find_preset(preset))


def five(study: Study) -> dict[str, Any]:
    """What the page shows of five features in two dimensions."""
    models = study.five
    return {
        "density": list(study.preset.five.densities),
        "gram": _list(models.W[0] @ models.W[0].mT),
        "directions": _list(models.W[0]),
        "kept": _kept(models),
        "kept_linear": _kept(study.five_linear),
        "loss": [over_seeds(loss).to_dict() for loss in models.loss.T],
        "two_only": _list(study.two_only),
        "pentagons": study.pentagons.sum(0).tolist(),
    }


def many(study: Study, first: int) -> dict[str, Any]:
    """What the page shows of many features of equal importance."""
    models, wide = study.many, study.preset.many.densities
    shares = models.dimensionality[0]
    curves = {str(first + i): _list(curve) for i, curve in enumerate(models.dimensions_per_feature)}
    return {
        "density": list(wide),
        "dimensions_per_feature": curves,
        "linear_density": [wide[0], wide[len(wide) // 2], wide[-1]],
        "linear_dimensions_per_feature": _list(study.many_linear.dimensions_per_feature.mean(0)),
        "dimensionality": [
            _list(share[norm > PRESENT]) for share, norm in zip(shares, models.norms[0], strict=True)
        ],
    }


def _kept(models: ToyModels) -> list[Mapping[str, Any]]:
    kept = (models.norms > PRESENT).float().sum(-1)
    return [over_seeds(count, "features").to_dict() for count in kept.T]


def _list(tensor: Float[Tensor, "..."]) -> Any:
    return (
        [float(f"{v:.6g}") for v in tensor.tolist()] if tensor.ndim == 1 else [_list(row) for row in tensor]
    )
