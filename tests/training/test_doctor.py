"""The doctor on planted faults, and on healthy runs, over seeds and sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from unweave.cli.main import main
from unweave.core.seeds import derive
from unweave.tasks import Batch, KBack
from unweave.training import RunConfig, TrainConfig, train
from unweave.training.doctor import examine, examine_run

SLIP = {"name": "Larger", "first": {"name": "Ramp", "steps": 20}, "second": {"name": "Constant"}}


def config(
    seed: int = 0,
    task: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    **training: Any,
):
    sizes = {"n_layers": 1, "d_model": 16, "d_head": 16, "act_fn": "relu", "seed": seed}
    return RunConfig.from_dict(
        {
            "task": task or {"name": "k-back", "k": 1, "d_vocab": 8, "n_ctx": 6},
            "model": {**sizes, **(model or {})},
            "training": {"steps": 200, "batch_size": 16, "lr": 3e-3, "seed": seed, **training},
        }
    )


def warned(found) -> list[str]:
    return [finding.code for finding in found.findings if finding.severity == "warning"]


FAULTS = {
    "growing-learning-rate": {"schedule": SLIP},
    "warmup-never-ends": {"schedule": {"name": "LinearWarmup", "steps": 5000}},
    "multiplier-above-one": {"schedule": {"name": "Constant", "value": 3.0}},
    "no-learning-rate": {"schedule": {"name": "Cosine", "steps": 100}},
    "first-loss-high": {"model": {"initializer_range": 4.0}},
    "no-held-out-data": {"task": {"name": "modular-arithmetic", "p": 11}},
    # Half of the sequence twice: the second copy is always the same distance away.
    "positional-shortcut": {"task": {"name": "induction", "d_vocab": 30, "n_ctx": 17, "shortest": 8}},
}


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_config_is_named_before_a_step_is_trained(fault: str, seed: int):
    assert warned(examine(config(seed, **FAULTS[fault]))) == [fault]


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(
    "task",
    [
        {"name": "previous-token"},
        {"name": "k-back", "k": 3},
        {"name": "induction"},
        {"name": "copy"},
        {"name": "reverse"},
        {"name": "sort"},
        {"name": "brackets"},
        {"name": "histogram"},
        {"name": "markov-chains"},
        {"name": "indirect-object"},
    ],
    ids=lambda task: task["name"],
)
def test_a_healthy_config_has_no_warning(task: dict[str, Any], seed: int):
    run = config(seed, task, {"d_model": 32 + 16 * seed})
    found = examine(run)
    assert found.healthy, warned(found)
    assert [finding.code for finding in found.findings] == ["one-seed"]


def test_the_growth_is_told_with_its_numbers():
    (finding, _) = examine(config(schedule=SLIP)).findings
    assert finding.evidence["peak multiplier"] == 199 / 20
    assert finding.evidence["peak step"] == 199
    assert "A maximum where a minimum was meant?" in finding.said


@dataclass(frozen=True)
class Poisoned(KBack):
    """A stream in which one batch has answers drawn by lot."""

    poisoned: int = 0

    def batch(self, batch_size: int, seed: int) -> Batch:
        tokens, targets = super().batch(batch_size, seed)
        if seed == self.poisoned:
            targets = torch.randint(
                1, self.d_vocab, targets.shape, generator=torch.Generator().manual_seed(1)
            )
        return Batch(tokens, targets)


@pytest.mark.parametrize(("seed", "step", "d_model"), [(0, 110, 16), (3, 130, 32)])
def test_a_poisoned_batch_is_found_by_its_step(tmp_path: Path, seed: int, step: int, d_model: int):
    run = config(seed, model={"d_model": d_model}, lr=1e-2, steps=150, checkpoint_every=50)
    task = Poisoned(1, 8, 6, poisoned=derive(seed, "train", step))
    train(run.build(), task, run.training, tmp_path)
    found = examine_run(tmp_path, task)
    (finding,) = [finding for finding in found.findings if finding.code == "bad-batch"]
    assert finding.evidence["step"] == step
    assert finding.evidence["its loss"] > 2 * finding.evidence["others, mean"]
    assert "loss-spikes" not in warned(found)
    assert found.skipped


@pytest.mark.parametrize(("seed", "d_model"), [(4, 32)])
def test_a_learning_rate_that_is_too_large_is_no_bad_batch(tmp_path: Path, seed: int, d_model: int):
    task = {"name": "k-back", "k": 1, "d_vocab": 8, "n_ctx": 6}
    run = config(
        seed, task, {"d_model": d_model}, lr=3e-2, schedule=SLIP, checkpoint_every=50, max_grad_norm=None
    )
    train(run.build(), run.task, run.training, tmp_path)
    codes = warned(examine_run(tmp_path, most=1))
    assert "growing-learning-rate" in codes
    assert "bad-batch" not in codes


@pytest.mark.parametrize("seed", [0, 2])
def test_a_healthy_run_has_no_warning(tmp_path: Path, seed: int):
    run = config(seed, lr=1e-2, checkpoint_every=50, max_grad_norm=1.0)
    train(run.build(), run.task, run.training, tmp_path)
    assert warned(examine_run(tmp_path)) == []


def test_a_clip_that_never_lets_go_is_named(tmp_path: Path):
    run = config(max_grad_norm=1e-3, steps=60, schedule={"name": "Constant"})
    train(run.build(), run.task, run.training, tmp_path)
    found = examine_run(tmp_path)
    assert warned(found) == ["clipping-never-lets-go"]
    assert TrainConfig().max_grad_norm == 1.0


def test_the_command_says_it_and_its_exit_code_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config(schedule=SLIP).to_dict()))
    assert main(["doctor", str(path)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "warning: the learning rate grows without end: 9.95 times lr at the last step." in shown
    assert "to be sure: run again with Smaller in the place of Larger" in shown
    assert main(["doctor", str(path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["healthy"] and told["findings"][0]["code"] == "growing-learning-rate"
    path.write_text(json.dumps(config().to_dict()))
    assert main(["doctor", str(path)]) == 0
    assert main(["doctor", str(tmp_path / "none.json")]) == 2
