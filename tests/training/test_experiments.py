"""The doctor's experiments on runs whose fault was planted: what cures the spike, and what does not."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from unweave.cli.main import main
from unweave.training import RunConfig, train
from unweave.training.doctor import confirm, examine_run, explain
from unweave.training.doctor.diagnosis import Diagnosis, Experiment, Suspicion
from unweave.training.doctor.replay import Change


@pytest.fixture(scope="module")
def too_fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose learning rate is above the edge of stability: it spikes again and again."""
    out = tmp_path_factory.mktemp("too-fast") / "run"
    run = RunConfig.from_dict(
        {
            "task": {"name": "k-back", "k": 1, "d_vocab": 16, "n_ctx": 10},
            "model": {"n_layers": 1, "n_heads": 1, "d_model": 16, "d_head": 16, "act_fn": "relu", "seed": 3},
            "training": {
                "steps": 200,
                "batch_size": 16,
                "lr": 4e-2,
                "schedule": {"name": "LinearWarmup", "steps": 20},
                "checkpoint_every": 25,
                "seed": 3,
            },
        }
    )
    train(run.build(), run.task, run.training, out)
    return out


@pytest.fixture(scope="module")
def found(too_fast: Path) -> Diagnosis:
    """What the doctor says of its highest spike."""
    (one,) = explain(too_fast, most=1)
    return one


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_cause_is_confirmed_where_its_experiment_cures_the_spike_and_controls_do_not(
    too_fast: Path, found: Diagnosis
):
    before, steps = files(too_fast), list[tuple[str, int, int]]()
    assert found.cause == "learning-rate-sharpness" and found.evidence["replay is exact"]
    told, seen = confirm(too_fast, found, progress=lambda *now: steps.append(now)), found.spike
    assert (told.verdict, told.cause) == ("confirmed", "learning-rate-sharpness")
    assert told.trials[-1].highest < seen.loss / 2 and not any(control.went for control in told.controls)
    assert "in 2 of 2 controls" in told.said and json.dumps(told.to_dict(), allow_nan=False)
    assert steps[0][1:] == (1, steps[0][2]) and {said for said, *_ in steps} > {"control: lr × 0.99"}
    assert files(too_fast) == before


def test_a_wrong_cause_is_refuted_and_the_right_one_found(too_fast: Path, found: Diagnosis):
    wrong = Suspicion(
        "bad-batch", 2.0, "said", Experiment(0, "without it", Change(without=frozenset({found.onset})))
    )
    told = confirm(too_fast, dataclasses.replace(found, cause="bad-batch", suspicions=(wrong,)))
    assert (told.verdict, told.cause) == ("refuted", "learning-rate-sharpness")
    assert [trial.went for trial in told.trials] == [False, True]
    assert told.said.startswith("without it: the spike came all the same; with 0.25 times the learning rate:")


def test_without_a_checkpoint_before_it_says_what_would_have_let_it_tell(too_fast: Path, tmp_path: Path):
    copy = shutil.copytree(too_fast, tmp_path / "run")
    for path in sorted((copy / "checkpoints").iterdir())[:-1]:
        shutil.rmtree(path)
    (found,) = explain(copy, most=1)
    assert (found.cause, found.confidence) == ("unknown", "none")
    assert f"there is no checkpoint before step {found.onset}" in found.unknowable[0]
    assert "checkpoint_every=" in found.unknowable[0]
    assert confirm(copy, found).verdict == "impossible"
    (finding,) = [f for f in examine_run(copy, most=1).findings if f.severity == "warning"]
    assert finding.code == "loss-spikes" and "no checkpoint" in finding.said


def test_the_command_confirms(too_fast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", str(too_fast), "--spikes", "1", "--confirm", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    (finding,) = [f for f in told["findings"] if f["severity"] == "warning"]
    assert finding["code"] == "learning-rate-sharpness"
    assert finding["confirmation"]["verdict"] == "confirmed"
    assert finding["evidence"]["spikes"][0]["evidence"]["sharpness over the largest stable"]["ratio"] > 1
    assert any("lower spike" in what for what in told["skipped"])
    config = tmp_path / "config.json"
    config.write_text((too_fast / "run.json").read_text())
    assert main(["doctor", str(config), "--confirm"]) == 2
    assert "the folder of a run to experiment on" in capsys.readouterr().err


def test_an_adam_that_forgets_too_slowly_is_named(tmp_path: Path):
    warmup = {"name": "LinearWarmup", "steps": 250}
    slow = {
        "name": "Product",
        "first": {"name": "Product", "first": warmup, "second": warmup},
        "second": warmup,
    }
    model = {"n_layers": 1, "n_heads": 1, "d_model": 16, "d_head": 16, "act_fn": "relu", "seed": 1}
    run = RunConfig.from_dict(
        {
            "task": {"name": "previous-token", "d_vocab": 20, "n_ctx": 12},
            "model": {**model, "initializer_range": 0.005},
            "training": {
                "steps": 240,
                "batch_size": 16,
                "lr": 2e-2,
                "schedule": slow,
                "betas": [0.9, 0.9999],
                "max_grad_norm": None,
                "checkpoint_every": 25,
                "seed": 1,
            },
        }
    )
    train(run.build(), run.task, run.training, tmp_path)
    (found,) = explain(tmp_path, most=1)
    assert found.cause == "second-moment-lag"
    assert found.evidence["largest update RMS ratio"]["ratio"] > 4
