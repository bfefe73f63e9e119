"""A run that is stopped and goes on is, to the bit, the run that nothing stopped."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.repository import ROOT
from tests.training.small import TASK, new_model, same_bits, short
from unweave.core.errors import InputError
from unweave.model.saved import load
from unweave.tasks import KBack
from unweave.training import LinearDecay, TrainConfig, train
from unweave.training.checkpoints import list_checkpoints
from unweave.training.history import read_history

# What a run leaves that must not depend on whether it was stopped.
SAME = ("history.jsonl", "held_out.jsonl", "run.json", "model/model.safetensors", "model/config.json")

KILLED = """
import sys
from tests.training.small import TASK, new_model
from unweave.training import TrainConfig, LinearWarmup, train

config = TrainConfig(
    steps=60, batch_size=8, lr=1e-2, schedule=LinearWarmup(10), checkpoint_every=7, checkpoint_at=(1, 2), evaluate_every=5
)
print("ready", flush=True)
train(new_model(), TASK, config, out=sys.argv[1], resume=True)
"""


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME}


def test_stopped_by_ctrl_c_and_resumed(tmp_path: Path):
    def config(stop_at: int) -> TrainConfig:
        return short(steps=9, checkpoint_every=4, evaluate_every=3, schedule=Once(stop_at))

    whole = train(new_model(), TASK, config(99), out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(new_model(), TASK, config(5), out=tmp_path / "cut")
    resumed = train(new_model(), TASK, config(99), out=tmp_path / "cut", resume=True)
    assert same_bits(whole.model, resumed.model)
    assert whole.history == resumed.history
    assert whole.history.held_out == resumed.history.held_out
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "cut")


class Once:
    """A warmup over three steps, written as no more than its name, that raises Ctrl-C at one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, step: int) -> float:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)
        return min(step / 3, 1.0)


def run_killed(folder: Path, kill_after: float | None) -> bool:
    """Run or go on with a run in a process of its own; whether it came to its end before it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1", "PATH": ""},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            return process.wait(timeout=kill_after) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            return False


def killed_again_and_again(folder: Path, times: int, seed: int) -> int:
    """Kill -9 so many times at random moments and resume each time; how often it really was killed."""
    draw, killed = random.Random(seed), 0
    whole, cut = folder / "whole", folder / "cut"
    assert run_killed(whole, None)
    for _ in range(times):
        if run_killed(cut, draw.uniform(0.0, 0.5)):
            assert files_of(cut) == files_of(whole)
            shutil.rmtree(cut)
        else:
            killed += 1
    assert run_killed(cut, None)
    assert files_of(cut) == files_of(whole)
    # Nothing half-written is left.
    assert not [path for path in cut.rglob("*") if path.name.startswith(".")]
    return killed


def test_killed_five_times_at_random_moments(tmp_path: Path):
    assert killed_again_and_again(tmp_path, times=5, seed=0) >= 1


@pytest.mark.slow
def test_killed_a_hundred_times_at_random_moments(tmp_path: Path):
    assert killed_again_and_again(tmp_path, times=100, seed=1) >= 30


def test_a_longer_run_goes_on_from_a_finished_one(tmp_path: Path):
    train(new_model(), TASK, short(steps=4), out=tmp_path)
    longer = train(new_model(), TASK, short(steps=9), out=tmp_path, resume=True)
    assert same_bits(longer.model, train(new_model(), TASK, short(steps=9)).model)
    assert [record.step for record in read_history(tmp_path / "history.jsonl")] == list(range(9))
    with pytest.raises(
        InputError, match=r"^wanted at least 9 steps, which the run has done; got 4; ask for more"
    ):
        train(new_model(), TASK, short(steps=4), out=tmp_path, resume=True)


def test_a_finished_run_is_only_opened(tmp_path: Path):
    first = train(new_model(), TASK, short(), out=tmp_path)
    again = train(new_model(), TASK, short(), out=tmp_path, resume=True)
    assert same_bits(first.model, again.model) and first.history == again.history


def test_with_nothing_there_it_begins(tmp_path: Path):
    run = train(new_model(), TASK, short(), out=tmp_path / "new", resume=True)
    assert same_bits(run.model, train(new_model(), TASK, short()).model)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"config": {"lr": 0.5}},
            "wanted training's lr 0.01, with which the run in this folder was begun; got 0.5",
        ),
        ({"config": {"precision": "bf16"}}, "wanted training's precision 'fp32', with which"),
        (
            {"config": {"schedule": LinearDecay(9)}},
            "wanted training's schedule {'name': 'LinearWarmup', 'steps': 3}",
        ),
        ({"model": {"act_fn": "gelu"}}, "wanted model's act_fn 'relu', with which"),
        ({"task": KBack(1, 12, 6)}, "wanted task's k None, with which"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path: Path, changed: dict, sentence: str):
    train(new_model(), TASK, short(), out=tmp_path)
    before = (tmp_path / "history.jsonl").read_bytes()
    with pytest.raises(InputError) as raised:
        train(
            new_model(**changed.get("model", {})),
            changed.get("task", TASK),
            short(**{"steps": 9, **changed.get("config", {})}),
            out=tmp_path,
            resume=True,
        )
    assert str(raised.value).startswith(sentence)
    assert (tmp_path / "history.jsonl").read_bytes() == before


def test_another_number_of_threads_is_refused_with_the_remedy(tmp_path: Path):
    threads = torch.get_num_threads()
    train(new_model(), TASK, short(steps=3), out=tmp_path)
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(InputError) as raised:
            train(new_model(), TASK, short(), out=tmp_path, resume=True)
        assert str(raised.value) == (
            f"wanted threads {threads}, with which the run was begun, so that it goes on to the bit; "
            f"got threads {threads + 1}; call torch.set_num_threads({threads}), or set OMP_NUM_THREADS={threads}; "
            "or go on with other roundings: exact=False, --inexact"
        )
        assert len(train(new_model(), TASK, short(), out=tmp_path, resume=True, exact=False).history) == 5
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "training.json", "hashes.json"]
)
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_torn_checkpoint_is_named_and_those_before_it_are_whole(tmp_path: Path, name: str, how: str):
    config = short(steps=4, checkpoint_every=2)
    train(new_model(), TASK, config, out=tmp_path)
    first, last = list_checkpoints(tmp_path / "checkpoints")
    whole = (last / name).read_bytes()
    if how == "gone":
        (last / name).unlink()
    else:
        (last / name).write_bytes(whole[:-7] if how == "cut" else whole[:-2] + b"  ")
    with pytest.raises(
        InputError, match=r"^wanted a whole checkpoint in .*step-00000004; got .*remove that folder to go on"
    ):
        train(new_model(), TASK, config, out=tmp_path, resume=True)
    shutil.rmtree(last)
    resumed = train(new_model(), TASK, config, out=tmp_path, resume=True)
    assert same_bits(resumed.model, train(new_model(), TASK, config).model)
    assert json.loads((first / "training.json").read_text())["step"] == 2


def test_the_random_state_of_torch_goes_on_too(tmp_path: Path):
    train(new_model(), TASK, short(steps=2), out=tmp_path)
    drawn = torch.rand(3)
    # As it was when the checkpoint was written, which is before these numbers were drawn.
    train(new_model(), TASK, short(steps=2), out=tmp_path, resume=True)
    assert torch.equal(torch.rand(3), drawn)


def test_a_checkpoint_is_written_when_one_is_asked_for(tmp_path: Path):
    def ask(step: int) -> float:
        if step == 2:
            (tmp_path / "checkpoint-now").touch()
        return 1.0

    train(new_model(), TASK, short(checkpoint_every=None, checkpoint_at=(0, 1), schedule=ask), out=tmp_path)
    names = [path.name for path in list_checkpoints(tmp_path / "checkpoints")]
    assert names == [f"step-{step:08d}" for step in (0, 1, 3, 5)]
    assert not (tmp_path / "checkpoint-now").exists()
    assert same_bits(load(tmp_path / "checkpoints" / "step-00000000"), new_model())


def test_steps_of_checkpoints_are_linear_logarithmic_or_named():
    assert short(steps=10, checkpoint_every=4).checkpoint_steps() == [4, 8, 10]
    assert short(steps=10, checkpoint_every=None).checkpoint_steps() == [10]
    assert short(steps=10, checkpoint_every=None, checkpoint_at=(0, 3, 99)).checkpoint_steps() == [0, 3, 10]
    # Two a decade: 1, 3.16, 10, 31.6, 100, 316, and the last.
    steps = short(steps=500, checkpoint_every=None, checkpoint_per_decade=2).checkpoint_steps()
    assert steps == [1, 3, 10, 32, 100, 316, 500]
