"""Batches in parts, and shared between processes: the gradient is that of the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.repository import ROOT
from tests.training.small import TASK, new_model, short
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Induction, Task
from unweave.training import train
from unweave.training.history import read_history

# Most of its targets are ignored, and not the same number in every part.
UNEVEN = Induction(d_vocab=12, n_ctx=9, shortest=2)

SHARED = """
import sys
import torch.distributed as dist
from tests.training.small import TASK, new_model, short
from tests.training.test_processes import UNEVEN
from unweave.training import train

dist.init_process_group("gloo")
task = UNEVEN if sys.argv[2] == "uneven" else TASK
seed = dist.get_rank() if sys.argv[2] == "other weights" else 0
config = short(steps=int(sys.argv[3]), batch_size=7, checkpoint_every=2)
train(new_model(dtype="float64", n_ctx=task.n_ctx, seed=seed), task, config, out=sys.argv[1], resume=True)
dist.destroy_process_group()
"""


def close(first: HookedTransformer, second: HookedTransformer, task: Task) -> bool:
    """Whether both give the same logits.

    Their weights may differ: keys' biases have no gradient but rounding errors, which Adam makes steps of.
    """
    tokens = task.batch(9, 5).tokens
    one, two = first(tokens), second(tokens)
    return bool((one - two).abs().max() <= 1e-8 * two.abs().max())


@pytest.mark.parametrize("task", [TASK, UNEVEN], ids=["all scored", "uneven"])
@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_parts_of_a_batch_make_the_step_of_the_whole(task: Task, accumulate: int):
    def run(parts: int):
        model = new_model(dtype="float64", n_ctx=task.n_ctx)
        return train(model, task, short(batch_size=7, accumulate=parts))

    whole, parted = run(1), run(accumulate)
    assert close(parted.model, whole.model, task)
    for one, other in zip(parted.history, whole.history, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-9)
        assert one.accuracy == pytest.approx(other.accuracy, rel=1e-9)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-9)


def test_a_mean_of_the_parts_means_would_be_another_step():
    # The mistake that the sum over the whole batch's targets avoids.
    batch = UNEVEN.batch(7, 0)
    model = new_model(dtype="float64", n_ctx=UNEVEN.n_ctx)
    whole = UNEVEN.loss(model(batch.tokens), batch)
    parts = [(batch.tokens[rows], batch.targets[rows]) for rows in (slice(0, 2), slice(2, 7))]
    means = [UNEVEN.loss(model(t), type(batch)(t, y)) for t, y in parts]
    assert abs(whole - sum(means) / 2) > 1e-4


def torchrun(out: Path, how: str, steps: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0",
         "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", out.parent / "shared.py", out, how, str(steps)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1", "PATH": "", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=240,
    )  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "shared.py").write_text(SHARED)
    return tmp_path / "run"


def test_two_processes_take_the_steps_of_one_and_go_on_together(out: Path):
    # A batch of 7 has unequal shares, and they ask for unequal numbers of targets.
    for steps in (3, 5):
        done = torchrun(out, "uneven", steps)
        assert done.returncode == 0, done.stderr
    alone = train(new_model(dtype="float64", n_ctx=UNEVEN.n_ctx), UNEVEN, short(batch_size=7))
    assert close(load(out / "model"), alone.model, UNEVEN)
    together = read_history(out / "history.jsonl")
    assert [r.loss for r in together] == pytest.approx([r.loss for r in alone.history], rel=1e-9)
    assert [r.grad_norm for r in together] == pytest.approx([r.grad_norm for r in alone.history], rel=1e-9)


@pytest.mark.slow
def test_processes_that_begin_with_other_weights_are_refused(out: Path):
    done = torchrun(out, "other weights", 2)
    assert done.returncode != 0
    assert "wanted the same weights in every process; got others, in 2 processes" in done.stderr
    assert not (out / "history.jsonl").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_parts_hold_in_either_precision(precision: str):
    whole = train(new_model(), TASK, short(steps=1, precision=precision)).history[0]
    parted = train(new_model(), TASK, short(steps=1, precision=precision, accumulate=4)).history[0]
    assert torch.isclose(torch.tensor(whole.grad_norm), torch.tensor(parted.grad_norm), rtol=1e-2)
