"""Ctrl-C: the step is finished, its checkpoint written, and the interrupt never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.training.small import TASK, new_model, same_bits, short
from unweave.model.saved import load
from unweave.training import train
from unweave.training.checkpoints import list_checkpoints
from unweave.training.history import read_history
from unweave.training.interrupt import deferred_interrupt

ROOT = Path(__file__).resolve().parents[2]

# Endless for all purposes; says when it has taken a few steps.
SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent may have been told to ignore it
from unweave import HookedTransformer, HookedTransformerConfig
from unweave.tasks import PreviousToken
from unweave.training import TrainConfig, train

def schedule(step):
    if step == 3:
        print("running", flush=True)
    return 1.0

model = HookedTransformer(HookedTransformerConfig(
    n_layers=1, d_model=16, n_ctx=6, d_head=8, d_vocab=12, act_fn="relu", seed=0))
config = TrainConfig(steps=1_000_000, batch_size=8, checkpoint_every=1_000_000, schedule=schedule)
train(model, PreviousToken(12, 6), config, out=sys.argv[1])
"""


def agreed_step(out: Path) -> int:
    """The step that history and the one checkpoint agree upon."""
    history = read_history(out / "history.jsonl")
    assert [record.step for record in history] == list(range(len(history)))
    (checkpoint,) = list_checkpoints(out / "checkpoints")
    assert json.loads((checkpoint / "training.json").read_text())["step"] == len(history)
    assert [path.name for path in (out / "checkpoints").iterdir()] == [f"step-{len(history):08d}"]
    load(checkpoint)
    return len(history)


def test_a_process_that_is_interrupted_leaves_a_checkpoint_that_agrees_with_its_history(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    steps = agreed_step(tmp_path)
    assert steps >= 4
    assert f"KeyboardInterrupt: stopped after {steps} of 1000000 steps" in errors
    assert process.returncode == -signal.SIGINT
    assert not (tmp_path / "model").exists()


def interrupted_at(*steps: int) -> object:
    def schedule(step: int) -> float:
        for _ in range(steps.count(step)):
            signal.raise_signal(signal.SIGINT)
        return 1.0

    return schedule


def test_the_checkpoint_is_the_model_after_the_whole_step(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after 3 of 5 steps"):
        train(new_model(), TASK, short(schedule=interrupted_at(2)), out=tmp_path)
    assert agreed_step(tmp_path) == 3
    undisturbed = train(new_model(), TASK, short(steps=3, schedule=lambda step: 1.0)).model
    assert same_bits(load(tmp_path / "checkpoints" / "step-00000003"), undisturbed)


def test_in_the_last_step_the_run_is_completed_and_the_interrupt_still_comes(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        train(new_model(), TASK, short(schedule=interrupted_at(4)), out=tmp_path)
    assert agreed_step(tmp_path) == 5
    assert load(tmp_path / "model").cfg.n_layers == 2


def test_one_that_comes_while_a_checkpoint_is_written_waits_for_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from unweave.training import checkpoints

    write = checkpoints.write_files

    def interrupt_first(model: object, folder: Path) -> None:
        if "00000002" in folder.name:
            signal.raise_signal(signal.SIGINT)
        write(model, folder)

    monkeypatch.setattr(checkpoints, "write_files", interrupt_first)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after 3 of 5 steps"):
        train(new_model(), TASK, short(checkpoint_every=2), out=tmp_path)
    names = [path.name for path in list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-00000002", "step-00000003"]
    assert len(read_history(tmp_path / "history.jsonl")) == 3


def test_a_second_one_raises_at_once(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        train(new_model(), TASK, short(schedule=interrupted_at(2, 2)), out=tmp_path)
    assert len(read_history(tmp_path / "history.jsonl")) == 2
    assert not (tmp_path / "checkpoints").exists()


def test_the_handler_that_was_there_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt() as interrupted:
        assert not interrupted()
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ZeroDivisionError), deferred_interrupt():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_was_noted_raises_when_the_block_ends():
    reached = []

    def work() -> None:
        with deferred_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            reached.append(interrupted())

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == [True]


def test_a_process_that_ignores_interrupts_goes_on_ignoring_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_in_another_thread_trains_as_usual():
    runs: list[int] = []
    thread = threading.Thread(target=lambda: runs.append(len(train(new_model(), TASK, short()).history)))
    thread.start()
    thread.join()
    assert runs == [5]
