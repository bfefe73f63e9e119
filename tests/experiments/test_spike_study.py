"""The spike study from command to page: trainings that learn nothing, and a page of a planted study."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from tests.experiments import planted_spikes
from unweave.cli.main import main
from unweave.core.errors import InputError
from unweave.core.seeds import derive
from unweave.experiments import ExperimentRun
from unweave.experiments.no_position import presets as no_position
from unweave.experiments.spike_study import presets, run, runs
from unweave.experiments.spike_study.apart import taken_apart
from unweave.experiments.spike_study.branches import go_on, kinds
from unweave.experiments.spike_study.cells import CELLS, FURTHER, MAX, SETTINGS, Cell
from unweave.experiments.spike_study.claims import CLAIMS
from unweave.experiments.spike_study.run import SpikeStudy
from unweave.experiments.spike_study.study import UNCHANGED, Study
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, PreviousToken
from unweave.training import Constant, TrainConfig, train
from unweave.training.history import read_history
from unweave.training.spikes import Spike

QUICK = presets.PRESETS["quick"]
TINY = replace(
    QUICK,
    task=PreviousToken(d_vocab=8, n_ctx=6),
    training=replace(QUICK.training, steps=8, batch_size=4, checkpoint_every=2),
    branch_at=4,
    branch_steps=3,
    streams=1,
    frozen=3,
)


def test_paper_is_the_original_exactly():
    paper = presets.PRESETS["paper"]
    named = {cell.name: cell.training(paper.training) for cell in CELLS}
    same = {"checkpoint_every": 500}
    assert replace(named["min, original"], **same) == no_position.PRESETS["notebook"].training
    assert replace(named["max, original"], **same) == no_position.PRESETS["uncorrected"].training
    assert paper.task == no_position.TASK
    ours, theirs = paper.model(3).to_dict(), no_position.model_config(2, 3).to_dict()
    assert ours == theirs


def test_a_cell_differs_by_what_its_name_says_alone():
    base = QUICK.training
    original = Cell("max", "original").training(base).to_dict()
    assert original["schedule"]["name"] == "Larger"
    for setting, changed in (SETTINGS | FURTHER).items():
        values = Cell("max", setting, changed).training(base).to_dict()
        differs = {name for name in values if values[name] != original[name]}
        assert differs == set(changed), setting
    low = Cell("min", "original").training(base).to_dict()
    assert {name for name in low if low[name] != original[name]} == {"schedule"}
    assert len({cell.name for cell in CELLS}) == len(CELLS)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_matched_has_the_sum_of_rates_of_max(name: str):
    base = presets.PRESETS[name].training
    sums = {
        schedule: sum(t.lr * t.schedule(step) for step in range(base.steps))
        for schedule, t in ((s, Cell(s, "original").training(base)) for s in ("max", "min", "matched"))
    }
    assert sums["matched"] == pytest.approx(sums["max"])
    assert sums["min"] < sums["max"] / 2


@pytest.mark.parametrize("name", presets.PRESETS)
def test_branches_begin_at_a_checkpoint_and_end_before_the_run_does(name: str):
    preset = presets.PRESETS[name]
    assert preset.branch_at in preset.training.checkpoint_steps()
    assert preset.branch_at + preset.branch_steps <= preset.training.steps
    assert preset.seeds >= 5


def test_the_rate_of_min_is_what_min_has_by_then():
    config = Cell("max", "original").training(QUICK.training)
    low = kinds(config)["the rate of min"]
    at = QUICK.branch_at
    minimum = Cell("min", "original").training(QUICK.training)
    assert low.lr * low.schedule(at) == minimum.lr * minimum.schedule(at)
    assert config.lr * config.schedule(at) == config.lr * MAX(at) > 2 * low.lr


class OneBatch(PreviousToken):
    """The same batch whatever the seed: a branch on other batches is then the run itself."""

    def batch(self, batch_size: int, seed: int) -> Batch:
        return super().batch(batch_size, 0)


def test_an_unchanged_branch_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    job = runs.Job(replace(TINY, task=OneBatch(d_vocab=8, n_ctx=6)), CELLS[0], 1, tmp_path)
    threads = torch.get_num_threads()
    runs.in_processes([job.train], 1, "training", progress=False)
    assert torch.get_num_threads() == threads
    history = [record.loss for record in read_history(tmp_path / "history.jsonl")]
    torch.set_num_threads(1)
    try:
        found = {b.kind: b for b in go_on(tmp_path, job.preset.task, job.training, job.preset)}
        (tmp_path / "branches.json").unlink()
        # The mistake: the weights go on, and the optimiser's moments begin anew.
        monkeypatch.setattr(torch.optim.AdamW, "load_state_dict", lambda self, state: None)
        forgetful = {b.kind: b for b in go_on(tmp_path, job.preset.task, job.training, job.preset)}
    finally:
        torch.set_num_threads(threads)
    assert found[UNCHANGED].losses == history[: TINY.branch_at + TINY.branch_steps]
    # One step later the other second moment shows.
    assert found["beta2 0.8"].losses[:5] == history[:5]
    assert found["beta2 0.8"].losses[5:] != history[5:7]
    assert forgetful[UNCHANGED].losses != found[UNCHANGED].losses


def test_what_was_trained_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    some = [cell for cell in CELLS if cell.setting == "original"]
    monkeypatch.setattr(runs, "CELLS", some)
    study = runs.run_all(TINY, [4, 5], tmp_path, 1, progress=False)
    assert study.seeds == [4, 5]
    assert set(study.runs) == {cell.name for cell in some}
    for trained in (trained for cell in study.runs.values() for trained in cell):
        assert len(trained.losses) == 8
        assert not trained.diverged
    assert {(b.kind, b.seed, len(b.losses)) for b in study.branches} == {
        (kind, seed, 7) for kind in kinds(TrainConfig()) for seed in (4, 5)
    }
    assert [len(losses) for losses in study.frozen["matched, original"]] == [3, 3]
    # Weights and data are the seed's, whatever the cell: the first loss is the same.
    assert len({cell[0].losses[0] for cell in study.runs.values()}) == 1

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patched:
        patched.setattr(runs, "train", refuse)
        assert runs.run_all(TINY, [4, 5], tmp_path, 1, progress=False) == study


def test_a_finished_run_of_another_preset_is_not_taken_for_this_ones(tmp_path: Path):
    runs.Job(TINY, CELLS[0], 1, tmp_path).train()
    other = replace(TINY, training=replace(TINY.training, batch_size=TINY.training.batch_size + 1))
    with pytest.raises(InputError, match="batch_size"):
        runs.Job(other, CELLS[0], 1, tmp_path).train()


def test_a_run_that_diverges_ends_there(tmp_path: Path):
    wild = replace(TINY, training=replace(TINY.training, lr=1e30, max_grad_norm=None))
    job = runs.Job(wild, CELLS[0], 0, tmp_path)
    job.train()
    job.train()
    trained = job.read()
    assert trained.diverged
    assert trained.learned is None
    assert "became" in (tmp_path / "diverged").read_text()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> ExperimentRun:
    study = planted_spikes.study({"max, no clipping": 23})

    def trained(
        preset: presets.Preset, seeds: range, out: Path, workers: int | None, progress: bool
    ) -> Study:
        study.save(out)
        return study

    spike = {
        "cell": "max, original",
        "seed": 0,
        "step": 120,
        "loss": 0.1,
        "level": 0.02,
        "others": 0.06,
        "exact": True,
    }
    found = [spike | {"share of the state": 0.5}, spike | {"share of the state": 0.7, "seed": 1}]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(run, "run_all", trained)
        monkeypatch.setattr(run, "take_apart", lambda *_: found)
        return SpikeStudy().run("quick", 0, tmp_path_factory.mktemp("planted"))


def test_the_page_says_the_numbers(planted: ExperimentRun):
    html = planted.report.read_text(encoding="utf-8")
    cells = planted.results["cells"]
    for claim in planted.claims:
        assert claim["title"] in html.replace("&#39;", "'")
    assert f"{cells['max, original']['spikes per 1000 steps']['value']:.1f} [" in html
    for name in (cell.name for cell in CELLS):
        assert name in html
    for title in (
        "Loss spikes by schedule and AdamW setting",
        "Share of the spikes of max that one change removes",
        "Spikes by the learning rate of the moment",
        "Spikes taken apart: the state, or the batch?",
        "Going on from step",
        "The two intervals do not overlap",
    ):
        assert title in html, title
    assert not re.search(r"<script[^>]* src=|<link[^>]* href=", html)


def test_results_hold_the_documented_schema(planted: ExperimentRun):
    results = json.loads((planted.report.parent / "results.json").read_text(encoding="utf-8"))
    assert results["schema"] == {"name": "unweave.spike-study", "version": 1}
    assert (results["experiment"], results["preset"], results["seed"]) == ("spike-study", "quick", "0 to 4")
    assert results["seeds"] == [0, 1, 2, 3, 4]
    assert set(results["cells"]) == {cell.name for cell in CELLS}
    row = next(row for row in results["effects"] if row["to"] == "min, original")
    # 20 and 21 by turns with max, 2 and 3 with min: 20.4 and 2.4 in the mean.
    assert row["share removed"]["value"] == pytest.approx(1 - 2.4 / 20.4, abs=1e-5)
    assert row["fewer"]["value"] == pytest.approx(18.0)
    both = next(r for r in results["interactions"] if r["changes"] == "max and no clipping")
    assert both["beyond the sum"]["value"] == pytest.approx(3.0)
    state = results["states"]["max, original"]
    assert (state["value"], state["spikes"], state["seeds"]) == (pytest.approx(0.6), 2, 2)


def test_claims_are_put_again_to_the_folder(planted: ExperimentRun, capsys: pytest.CaptureFixture[str]):
    folder = str(planted.report.parent)
    assert main(["claims", "spike-study", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == planted.claims
    assert main(["claims", "spike-study", folder, "--control", folder]) == 2
    assert "leave --control out" in capsys.readouterr().err


def test_bad_input_is_refused_before_anything_is_trained(planted: ExperimentRun, tmp_path: Path):
    study = SpikeStudy()
    with pytest.raises(InputError, match="known ones: quick, reduced, paper"):
        study.run("notebook", 0, tmp_path / "a")
    with pytest.raises(InputError, match="at least 2 seeds: every interval of the study is over seeds"):
        study.run("quick", 0, tmp_path / "a", seeds=1)
    with pytest.raises(InputError, match="holds spike-study, preset quick, seed 0 to 4"):
        study.run("quick", 1, planted.report.parent)
    with pytest.raises(InputError, match="name one that unweave run spike-study wrote"):
        study.test_claims(tmp_path)
    assert not (tmp_path / "a").exists()
    assert planted.report.exists()


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(planted: ExperimentRun):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    path = planted.report.parent / "notebook.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    said = json.dumps([cell.get("outputs") for cell in notebook.cells])
    for claim in CLAIMS:
        assert claim.tested(Study.load(path.parent))["verdict"].upper() in said


@pytest.mark.slow
def test_the_command_from_training_to_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(presets.PRESETS, "quick", TINY)
    out = tmp_path / "study"
    assert main(["run", "spike-study", "--preset", "quick", "--seeds", "2", "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    # Nothing is learned in 8 steps, and so nothing is claimed.
    assert "supported" not in [claim["verdict"] for claim in results["claims"]]
    assert results["cells"]["max, original"]["learned at step"] == [None, None]
    assert "Loss spikes" in (out / "report.html").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Poisoned(PreviousToken):
    """A stream in which one batch has answers drawn by lot."""

    poisoned: int = 0

    def batch(self, batch_size: int, seed: int) -> Batch:
        tokens, targets = super().batch(batch_size, seed)
        if seed == self.poisoned:
            targets = torch.randint(1, 8, targets.shape, generator=torch.Generator().manual_seed(1))
        return Batch(tokens, targets)


def kicked(step: int) -> float:
    """One step at thirty times the rate."""
    return 30.0 if step == 89 else 1.0


@pytest.mark.parametrize("fault", ["the batch", "the state"])
def test_a_planted_fault_is_laid_to_the_batch_or_to_the_state(fault: str, tmp_path: Path):
    of_batch = fault == "the batch"
    task = Poisoned(d_vocab=8, n_ctx=6, poisoned=derive(3, "train", 90) if of_batch else 0)
    training = TrainConfig(
        steps=92, batch_size=32, lr=3e-3, schedule=Constant() if of_batch else kicked, checkpoint_every=40
    )
    config = replace(training, seed=3)
    train(HookedTransformer(replace(TINY, task=task).model(3)), task, config, tmp_path)
    history = read_history(tmp_path / "history.jsonl")
    row = taken_apart(tmp_path, Spike(90, history[90].loss), history, task, config)
    assert row is not None
    assert row["exact"]
    assert row["loss"] == pytest.approx(history[90].loss, abs=1e-5)
    assert (row["share of the state"] < 0.3) == of_batch
    # The mistake: to compare with the level of before alone, by which both have simply risen.
    assert row["loss"] > 2 * row["level"]
