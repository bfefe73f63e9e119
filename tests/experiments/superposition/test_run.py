"""The experiment from command to page, with a training so short that nothing is learned."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.experiments import ExperimentRun, load_experiment
from unweave.experiments.superposition import presets
from unweave.experiments.superposition.claims import CLAIMS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExperimentRun:
    quick = presets.PRESETS["quick"]
    short = replace(
        quick,
        five=replace(quick.five, steps=4, batch_size=16, held_out=2),
        many=replace(quick.many, steps=3, batch_size=8, held_out=2),
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(presets.PRESETS, "quick", short)
        return load_experiment("superposition").run(
            "quick", 3, tmp_path_factory.mktemp("runs") / "r", seeds=3
        )


def test_everything_is_written_and_nothing_learned_supports_nothing(run: ExperimentRun):
    folder = run.report.parent
    results = json.loads((folder / "results.json").read_text())
    assert (results["experiment"], results["preset"], results["seed"], results["seeds"]) == (
        "superposition",
        "quick",
        3,
        [3, 4, 5],
    )
    assert [claim["id"] for claim in results["claims"]] == [claim.id for claim in CLAIMS]
    assert "supported" not in [claim["verdict"] for claim in results["claims"]]
    html = run.report.read_text()
    for title in (
        "Directions of the five features",
        "Features represented",
        "Dimensions per feature",
        "share of a dimension",
    ):
        assert title in html


def test_claims_on_the_saved_models_are_those_of_the_run(run: ExperimentRun):
    assert load_experiment("superposition").test_claims(run.report.parent) == run.claims


def test_a_folder_of_something_else_is_refused(run: ExperimentRun, tmp_path: Path):
    with pytest.raises(InputError, match="superposition run"):
        load_experiment("superposition").test_claims(tmp_path)
    with pytest.raises(InputError, match="no control folder"):
        load_experiment("superposition").test_claims(run.report.parent, tmp_path)


def test_the_notebook_runs(run: ExperimentRun, monkeypatch: pytest.MonkeyPatch):
    cells = json.loads((run.report.parent / "notebook.ipynb").read_text())["cells"]
    monkeypatch.chdir(run.report.parent)
    namespace: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), namespace)
