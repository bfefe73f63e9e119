"""A grid on this machine: killed workers, Ctrl-C, and a second call that does what is left."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from tests.training.grids.small import values
from unweave.cli.main import main
from unweave.core.errors import InputError
from unweave.training import Grid, GridResults, RunConfig, TrainConfig, run_grid, train
from unweave.training.checkpoints import list_checkpoints
from unweave.training.grids.board import Board
from unweave.training.history import read_history

SAME = ("history.jsonl", "held_out.jsonl", "run.json", "model/model.safetensors")


def kill_a_worker() -> None:
    pid = multiprocessing.active_children()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_a_ctrl_c_and_a_second_call_leave_what_solo_runs_leave(tmp_path: Path):
    axes = {
        "length": {
            "long": {"training.steps": 240, "training.checkpoint_every": 30},
            "short": {"training.lr": 0.02},
        }
    }
    grid, out = Grid.from_dict({**values(), "axes": axes}), tmp_path / "grid"
    long, short = grid.members[0], grid.members[2:]
    checkpoints = out / "runs" / long.name / "checkpoints"

    stopped: list[int] = []

    # The worker is killed after a checkpoint, the run goes on from there; then comes Ctrl-C.
    def kill_then_interrupt(board: Board) -> None:
        standing = board.standings[long.name]
        if standing.state == "running" and not standing.errors and list_checkpoints(checkpoints):
            kill_a_worker()
        elif standing.errors and standing.loss is not None and not stopped:
            stopped.append(standing.step)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"^stopped with \d of 4 runs done; the same call goes on"):
        run_grid(grid, out, workers=1, watch=kill_then_interrupt)
    assert not multiprocessing.active_children()
    before = {row["run"]: row["state"] for row in GridResults.load(out).rows}
    assert before[short[-1].name] == "unfinished"
    done = len(read_history(out / "runs" / long.name / "history.jsonl"))
    # It stopped with a checkpoint of its last step, wherever that was.
    assert done == int(list_checkpoints(checkpoints)[-1].name[5:])

    results = run_grid(grid, out, workers=1)
    assert [row["state"] for row in results.rows] == ["finished"] * 4
    assert [row["run"] for row in results.rows] == [m.name for m in grid.members]
    [error] = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert error["error"] == "the worker was ended by SIGKILL: out of memory, perhaps"
    assert sum(row["attempts"] for row in results.rows) == 5

    # To the bit what one process does that nothing stopped.
    run = RunConfig.from_dict(long.config.to_dict())
    solo = tmp_path / "solo"
    train(run.build(), run.task, run.training, solo)
    for name in SAME:
        assert (out / "runs" / long.name / name).read_bytes() == (solo / name).read_bytes()

    # A third call, with a grid that has grown, runs only what is new, and nothing else is touched.
    written = {m.name: (out / "runs" / m.name / "times.jsonl").read_bytes() for m in grid.members}
    begun: list[str] = []
    run_grid(
        grid,
        out,
        watch=lambda board: begun.extend(n for n, s in board.standings.items() if s.state == "running"),
    )
    assert not begun
    assert written == {m.name: (out / "runs" / m.name / "times.jsonl").read_bytes() for m in grid.members}
    _tables_agree(results)
    with pytest.raises(InputError, match=r"^wanted threads 1, with which the grid in .* was begun"):
        run_grid(grid, out, threads=2)


def _tables_agree(results: GridResults) -> None:
    frame = results.to_frame()
    assert list(frame.columns[:4]) == ["run", "length", "seed", "state"]
    with (results.folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in table] == frame["loss"].tolist()
    assert GridResults.load(results.folder) == results
    for row in results.rows:
        last = read_history(results.folder / "runs" / row["run"] / "history.jsonl")[-1]
        assert row["loss"] == last.loss and row["steps"] == last.step + 1
    means = frame.groupby("length")["held_out_loss"].mean()
    assert set(means.index) == {"long", "short"} and means.notna().all()


@pytest.mark.slow
def test_errors_are_kept_and_only_what_may_end_otherwise_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # The first diverges in its first steps. The second's folder can't be one: a file is in its way.
    asked = {**values(), "axes": {"training.lr": [1e30, 0.01]}, "seeds": [0]}
    file, out = tmp_path / "grid.json", tmp_path / "grid"
    file.write_text(json.dumps(asked))
    diverging, blocked = Grid.read(file).members
    (out / "runs").mkdir(parents=True)
    (out / "runs" / blocked.name).touch()
    (out / "grid.json").write_text(json.dumps({"grid": asked, "threads": 1}))
    assert main(["grid", str(file), "--out", str(out), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("2 runs of 1,030 parameters, 12 steps and 240 tokens in all, about ")
    assert "1 process of 1 thread each, on " in said
    assert f"failed: {blocked.name}: wanted a folder for the run; got " in said
    first, second = GridResults.load(out).rows
    assert (first["run"], first["state"], first["attempts"]) == (diverging.name, "diverged", 1)
    assert first["error"].endswith("lower the learning rate, or clip gradients")
    assert first["steps"] < 6
    assert (second["state"], second["attempts"], second["loss"]) == ("failed", 1, None)
    # The way is clear: only that one is run, and it is no longer counted as failed.
    (out / "runs" / blocked.name).unlink()
    assert main(["grid", str(file), "--out", str(out), "--workers", "1"]) == 0
    assert "1 done before, not run again" in capsys.readouterr().out
    assert [row["state"] for row in GridResults.load(out).rows] == ["diverged", "finished"]


def test_the_command_line_prints_an_example_lists_runs_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["grid", "--example"]) == 0
    (tmp_path / "grid.json").write_text(capsys.readouterr().out)
    file = str(tmp_path / "grid.json")
    assert main(["grid", file, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("24 runs of ") and len(lines) == 25
    assert lines[1].endswith("  lr 0.001, n_layers 1, warmup meant, seed 0")
    for arguments, sentence in (
        ([file], "wanted a GRID.json and --out DIR; got no --out"),
        (
            [file, "--out", str(tmp_path / "o"), "--engine", "slurm"],
            "wanted --engine local or ray; got 'slurm'",
        ),
        (
            [file, "--out", str(tmp_path / "o"), "--address", "auto"],
            "wanted an address with --engine ray alone",
        ),
        ([file, "--out", str(tmp_path)], "wanted a new folder, or one of a grid; got "),
        (
            [file, "--out", str(tmp_path / "o"), "--threads", "0"],
            "wanted a whole number of at least 1 for threads",
        ),
    ):
        assert main(["grid", *arguments]) == 2
        assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert not (tmp_path / "o").exists()
    assert TrainConfig().steps == 1000  # what is refused leaves nothing behind
