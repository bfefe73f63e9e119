"""The experiment from command to page, with a training so short that nothing is learned."""

import dataclasses
import json
import re
import signal

import pytest
import torch

from unweave.cli.main import main
from unweave.core.errors import InputError
from unweave.experiments import ExperimentRun, load_experiment
from unweave.experiments.no_position import presets
from unweave.experiments.no_position.claims import CLAIMS
from unweave.experiments.no_position.original import compare, original
from unweave.experiments.no_position.run import NoPosition
from unweave.model.saved import load
from unweave.tasks import Batch, PreviousToken

TITLES = (
    "Training loss",
    "Mean attention pattern, layer 1",
    "attention to BOS",
    "activations by position",
    "Principal components",
    "attention by offset",
    "row-centred",
    "logit attribution",
    "per-position mean",
)


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = presets.PRESETS["quick"]
    short = dataclasses.replace(
        quick,
        training=dataclasses.replace(quick.training, steps=12, batch_size=16),
        sequences=24,
        ablation_sequences=16,
    )
    monkeypatch.setitem(presets.PRESETS, "quick", short)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExperimentRun:
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten(monkeypatch)
        return load_experiment("no-position").run("quick", seed=3, out=tmp_path_factory.mktemp("runs") / "r")


def test_everything_is_written(run: ExperimentRun):
    out = run.report.parent
    for name in (
        "report.html",
        "results.json",
        "notebook.ipynb",
        "history.jsonl",
        "model",
        "one-layer/model",
    ):
        assert (out / name).exists(), name
    assert load(out / "model").cfg.n_layers == 2
    assert load(out / "one-layer" / "model").cfg.n_layers == 1
    assert len((out / "history.jsonl").read_text().splitlines()) == 12


def test_results_hold_the_documented_schema(run: ExperimentRun):
    results = json.loads((run.report.parent / "results.json").read_text())
    assert results["schema"] == {"name": "unweave.no-position", "version": 1}
    assert (results["experiment"], results["preset"], results["seed"]) == ("no-position", "quick", 3)
    assert results["config"]["model"]["positional_embedding_type"] == "none"
    assert results["train_loss_at_step"].keys() == {"0", "11"}
    assert results["mean_ablation"]["baseline"] == results["eval_loss"]
    hooks = set(results["mean_ablation"]) - {"baseline"}
    assert hooks == set(original()["mean_ablation"]["loss"])
    assert [claim["id"] for claim in results["claims"]] == [claim.id for claim in CLAIMS]
    wanted = {"id", "statement", "rivals", "prediction", "measured", "control", "verdict"}
    for claim in results["claims"]:
        assert wanted <= claim.keys()
        assert claim["verdict"] in ("supported", "refuted", "inconclusive")


def test_nothing_learned_supports_nothing(run: ExperimentRun):
    assert "supported" not in [claim["verdict"] for claim in run.claims]


def test_the_page_is_whole_and_says_what_was_measured(run: ExperimentRun):
    html = run.report.read_text()
    for claim in run.claims:
        assert claim["title"] in html.replace("&#39;", "'")
        assert claim["verdict"] in html
    assert f"{run.results['eval_loss']:.4f}" in html
    for title in TITLES:
        assert title in html, title
    assert not re.search(r"<script[^>]* src=|<link[^>]* href=", html)


def test_the_same_seed_gives_the_same_results(run: ExperimentRun, tmp_path, monkeypatch):
    shorten(monkeypatch)
    again = load_experiment("no-position").run("quick", seed=3, out=tmp_path / "again")
    first, second = ({k: v for k, v in r.results.items() if k != "times"} for r in (run, again))
    assert first == second


def test_claims_on_a_saved_model_are_those_of_the_run(run: ExperimentRun, monkeypatch):
    shorten(monkeypatch)
    tested = load_experiment("no-position").test_claims(run.report.parent / "model")
    assert [claim["id"] for claim in tested] == [claim["id"] for claim in run.claims]
    # The control beside the model was used: its loss is that of the run, on other sequences.
    assert json.dumps(tested, allow_nan=False)


def test_without_a_control_beside_it_one_is_trained(run: ExperimentRun, tmp_path, monkeypatch):
    shorten(monkeypatch)
    load(run.report.parent / "model").save(tmp_path / "alone" / "model")
    tested = load_experiment("no-position").test_claims(tmp_path / "alone" / "model")
    floor = [row for row in tested[0]["control"] if row["name"] == "one layer: loss"]
    assert floor[0]["value"] > 0


def test_bad_input_is_refused_before_anything_is_written(tmp_path, run: ExperimentRun):
    experiment = load_experiment("no-position")
    with pytest.raises(InputError, match="known ones: quick, notebook, uncorrected"):
        experiment.run("slow", 0, tmp_path / "a")
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        experiment.run("quick", 0, file)
    assert file.read_text() == "mine"
    with pytest.raises(InputError, match="holds no-position, preset quick, seed 3"):
        experiment.run("quick", 4, run.report.parent)
    assert run.report.exists()
    with pytest.raises(InputError, match="known ones: no-position"):
        load_experiment("no-such")
    assert not (tmp_path / "a").exists()


def test_another_shape_is_refused(tmp_path, run: ExperimentRun):
    with pytest.raises(InputError, match="n_layers 2; got 1"):
        NoPosition().test_claims(run.report.parent / "one-layer" / "model")


def test_the_original_agrees_with_its_own_order():
    reference = original()["mean_ablation"]
    agreements = compare({"baseline": reference["baseline"], **reference["loss"]})
    assert [agreement.outside for agreement in agreements] == [()] * len(agreements)


def test_a_run_that_differs_from_the_original_is_said_to():
    reference = original()["mean_ablation"]
    changed = {"baseline": reference["baseline"], **reference["loss"], "blocks.0.attn.hook_k": 0.4}
    outside = [hook for agreement in compare(changed) for hook in agreement.outside]
    assert outside == ["blocks.0.attn.hook_k"]


def test_the_notebook_runs_from_top_to_bottom(run: ExperimentRun):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    path = run.report.parent / "notebook.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    said = json.dumps([cell.get("outputs") for cell in notebook.cells])
    for claim in run.claims:
        assert claim["verdict"].upper() in said
    assert "application/vnd.plotly.v1+json" in said


def test_the_global_random_state_is_left_alone(run: ExperimentRun, tmp_path, monkeypatch):
    shorten(monkeypatch)
    before = torch.get_rng_state()
    load_experiment("no-position").test_claims(run.report.parent / "model")
    assert torch.equal(before, torch.get_rng_state())


def test_a_checkpoint_cut_short_is_one_line_and_exit_code_2(run: ExperimentRun, tmp_path, capsys):
    load(run.report.parent / "model").save(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert main(["claims", "no-position", str(tmp_path / "model"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: wanted")
    assert len(err.strip().splitlines()) == 1
    assert "model.safetensors" in err


def test_ctrl_c_is_one_line_that_says_where_the_model_is(tmp_path, capsys, monkeypatch):
    shorten(monkeypatch)
    steps = iter(range(1000))

    def interrupting(self: PreviousToken, batch_size: int, seed: int) -> Batch:
        if next(steps) == 4:
            signal.raise_signal(signal.SIGINT)
        return batch(self, batch_size, seed)

    batch = PreviousToken.batch
    monkeypatch.setattr(PreviousToken, "batch", interrupting)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["run", "no-position", "--out", str(tmp_path / "r")]) == 1
    finally:
        signal.signal(signal.SIGINT, previous)
    err = capsys.readouterr().err
    assert "stopped after 5 of 12 steps; the model so far is in" in err
    assert load(tmp_path / "r" / "checkpoints" / "step-00000005").cfg.n_layers == 2
    assert not (tmp_path / "r" / "results.json").exists()


def test_no_position_is_judged_on_one_training(tmp_path):
    with pytest.raises(InputError, match="one seed"):
        load_experiment("no-position").run("quick", seed=0, out=tmp_path / "run", seeds=3)
    assert not (tmp_path / "run").exists()
