"""What is trained. Everything but the sizes is the config that `unweave train --example` prints."""

from __future__ import annotations

from typing import Any

from unweave.training import RunConfig
from unweave.training.run_file import EXAMPLE

MEMBERS = 8
CELLS = [(d_model, batch_size) for d_model in (16, 32) for batch_size in (16, 64)]


def small(d_model: int, batch_size: int, steps: int) -> RunConfig:
    """The example's model and task at another width."""
    training = {"steps": steps, "batch_size": batch_size, "lr": 1e-3, "seed": 0}
    return _run(EXAMPLE["task"], d_model, training)


def no_position(steps: int, device: str) -> RunConfig:
    """The no-position experiment's model, as bench/speed has it."""
    task = {"name": "previous-token", "d_vocab": 300, "n_ctx": 50}
    return _run(task, 64, {"steps": steps, "batch_size": 256, "lr": 1e-3, "seed": 0}, device=device)


def _run(task: dict[str, Any], d_model: int, training: dict[str, Any], **model: Any) -> RunConfig:
    sizes = {**EXAMPLE["model"], "d_model": d_model, "d_head": d_model, **model}
    return RunConfig.from_dict({"task": task, "model": sizes, "training": training})
