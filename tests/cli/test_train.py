"""`unweave train` and `unweave watch`."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.repository import ROOT
from unweave.cli.main import main
from unweave.cli.watch import chart
from unweave.model.saved import load
from unweave.training.history import read_held_out, read_history
from unweave.training.progress import Progress
from unweave.training.run_file import EXAMPLE, RunConfig


def small(**training: Any) -> dict[str, Any]:
    return {
        "task": {"name": "k-back", "k": 1, "d_vocab": 6, "n_ctx": 5},
        "model": {"n_layers": 1, "d_model": 8, "d_head": 8, "act_fn": "relu", "seed": 0},
        "training": {"steps": 6, "batch_size": 4, "checkpoint_every": 2, "evaluate_every": 3, **training},
    }


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(small()))
    return path


def test_the_example_is_a_whole_config(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "--example"]) == 0
    assert json.loads(capsys.readouterr().out) == EXAMPLE
    run = RunConfig.from_dict(EXAMPLE)
    assert run.build().cfg.d_vocab == run.task.d_vocab
    assert RunConfig.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_it_trains_refuses_to_write_over_a_run_and_resumes(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    assert main(["train", str(config), "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"nats after 6 steps; model: {out / 'model'}\n")
    assert load(out / "model").cfg.n_ctx == 5
    before = (out / "history.jsonl").read_bytes()
    assert main(["train", str(config), "--out", str(out)]) == 2
    assert "which holds a run; add --resume to go on with it" in capsys.readouterr().err
    assert (out / "history.jsonl").read_bytes() == before
    shutil.rmtree(out / "checkpoints" / "step-00000006")
    weights = (out / "model" / "model.safetensors").read_bytes()
    assert main(["train", str(config), "--out", str(out), "--resume"]) == 0
    assert (out / "history.jsonl").read_bytes() == before
    assert (out / "model" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "wanted a table of JSON values in "),
        ({**small(), "modle": {}}, "wanted a table with task, model, training; got 'modle'; nearest: model"),
        ({k: v for k, v in small().items() if k != "task"}, "wanted a table for 'task'; got None"),
        ({**small(), "task": {"name": "sorting"}}, "wanted the name of a task"),
        (small(learning_rate=1), "wanted a field of TrainConfig; got 'learning_rate'; nearest: "),
        (small(schedule={"name": "Warmup"}), "wanted a schedule with a name"),
        (small(schedule={"name": "Cosine", "step": 3}), "wanted a field of Cosine: steps, final; got 'step'; nearest: steps"),
        ({**small(), "model": {**small()["model"], "d_vocab": 9}}, "wanted a model with d_vocab = d_vocab_out = 6"),
    ],
)  # fmt: skip
def test_a_config_that_is_none_is_refused(
    values: Any, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert main(["train", str(tmp_path / "config.json"), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_written_is_a_clear_error(config: Path, capsys: pytest.CaptureFixture[str]):
    # A place where nobody can make a folder, root neither.
    assert main(["train", str(config), "--out", "/proc/no-run"]) in (1, 2)
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["train", str(config)]) == 2
    assert "wanted a CONFIG.json and --out DIR; got no --out" in capsys.readouterr().err


def test_an_unknown_tracker_and_one_that_is_not_installed_are_refused(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    given = ["train", str(config), "--out", str(tmp_path / "run"), "--track"]
    assert main([*given, "mlflow"]) == 2
    assert "wanted tensorboard, wandb or trackio; got 'mlflow'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main([*given, "wandb"]) == 2
    assert "got none installed; pip install wandb, or leave it out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_gets_what_the_history_file_says(
    name: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Beside a stand-in with the calls of Weights & Biases, which trackio has too."""
    calls: list[tuple[str, Any]] = []
    package = ModuleType(name)
    package.init = lambda **given: calls.append(("init", given))  # type: ignore[attr-defined]
    package.log = lambda values, step: calls.append(("log", (step, values)))  # type: ignore[attr-defined]
    package.finish = lambda: calls.append(("finish", None))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, package)
    out = tmp_path / "run"
    assert main(["train", str(config), "--out", str(out), "--track", name]) == 0
    assert [what for what, _ in calls] == ["init", *["log"] * 6, "finish"]
    assert calls[0][1]["config"]["training"]["steps"] == 6
    assert "resume" not in calls[0][1], "a new run of the same name is another run"
    held = {record.step: record for record in read_held_out(out / "held_out.jsonl")}
    for (_, (step, values)), record in zip(calls[1:-1], read_history(out / "history.jsonl"), strict=True):
        assert (step, values["train/loss"], values["train/lr"]) == (record.step, record.loss, record.lr)
        # Measured after every third update, and sent with that step alone.
        assert values.get("held_out/loss") == (held[step + 1].loss if step + 1 in held else None)
    assert sorted(held) == [3, 6]
    assert main(["train", str(config), "--out", str(out), "--track", name, "--resume"]) == 0
    assert calls[-2][0] == "init" and calls[-2][1]["resume"] == "allow"


@pytest.mark.slow
def test_torchrun_trains_one_run_with_two_processes(config: Path, tmp_path: Path):
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
         "--rdzv-endpoint", "localhost:0", "-m", "unweave.cli.main", "train", str(config), "--out", str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # One of them speaks.
    assert done.stdout.count("nats after 6 steps") == 1
    alone = tmp_path / "alone"
    assert main(["train", str(config), "--out", str(alone)]) == 0
    together, by_one = (read_history(folder / "history.jsonl") for folder in (out, alone))
    assert [r.loss for r in together] == pytest.approx([r.loss for r in by_one], rel=1e-4)


def test_watch_tells_how_far_a_run_is(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert main(["train", str(config), "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["watch", str(out)]) == 0
    shown = capsys.readouterr().out
    for text in ("6 of 6, finished", "held out", "spikes", "loss in nats, logarithmic; steps 0 to 5"):
        assert text in shown
    assert main(["watch", str(tmp_path)]) == 2
    assert "without a run.json; name one that unweave train --out wrote" in capsys.readouterr().err


def test_time_left_comes_from_the_pace_of_the_last_steps_and_silence_is_said(config: Path, tmp_path: Path):
    out = tmp_path / "run"
    main(["train", str(config), "--out", str(out)])
    lines = (out / "history.jsonl").read_text().splitlines(keepends=True)[:4]
    (out / "history.jsonl").write_text("".join(lines))
    # A gap, where it was resumed, does not count.
    times = [100.0, 102.0, 500.0, 502.0]
    (out / "times.jsonl").write_text(
        "".join(json.dumps({"step": n, "at": t}) + "\n" for n, t in enumerate(times))
    )
    seen = Progress.read(out, now=503.0)
    assert (seen.pace, seen.left, seen.silent) == (2.0, 4.0, 1.0)
    assert not seen.done and not seen.stopped
    assert Progress.read(out, now=600.0).stopped


def test_a_spike_of_one_step_shows_in_the_chart_of_many():
    losses = [1.0] * 1000
    losses[437] = math.e**4
    rows = [row.plain[9:] for row in chart(losses, 50)]
    assert rows[0].strip() == "█"
    assert rows[0].index("█") == 437 // 20
    # All others stand at the bottom alone.
    assert rows[7].count("▁") == 49
