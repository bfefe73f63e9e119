"""What is done with a run afterwards: the finished model on more batches, and other ways to go on from a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from unweave.core.files import write_json_atomic
from unweave.core.seeds import derive
from unweave.experiments.spike_study.presets import Preset
from unweave.experiments.spike_study.study import BRANCH_FASTER, RATE_OF_MIN, UNCHANGED, Branch
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.tasks import PreviousToken
from unweave.training import Constant, TrainConfig, TrainingDiverged
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.evaluation import evaluate
from unweave.training.history import HISTORY, read_history
from unweave.training.optimizer import adamw
from unweave.training.update import update


def kinds(config: TrainConfig) -> dict[str, TrainConfig]:
    """The ways to go on: as before, at the rate of `min`, which is `lr` itself after its warmup, and with a shorter memory."""
    return {
        UNCHANGED: config,
        RATE_OF_MIN: dataclasses.replace(config, schedule=Constant()),
        BRANCH_FASTER: dataclasses.replace(config, betas=(config.betas[0], 0.8)),
    }


def show_batches(folder: Path, task: PreviousToken, config: TrainConfig, count: int) -> list[float]:
    """The losses of the last checkpoint's model on `count` further batches, without training; none for a run without one."""
    written = folder / "frozen.json"
    if not written.exists():
        checkpoints = list_checkpoints(folder / "checkpoints")
        if not checkpoints:
            return []
        model = load(Checkpoint.opened(checkpoints[-1]).path)
        batches = (
            task.batch(config.batch_size, derive(config.seed, "frozen", number)) for number in range(count)
        )
        losses = [evaluate(model, task, batch, config.batch_size)[0] for batch in batches]
        write_json_atomic(written, losses)
    return json.loads(written.read_text(encoding="utf-8"))


def go_on(folder: Path, task: PreviousToken, config: TrainConfig, preset: Preset) -> list[Branch]:
    """The branches from the checkpoint of `preset.branch_at`: every kind on the same streams of batches.

    None for a run that diverged before.
    """
    written = folder / "branches.json"
    since = preset.branch_at
    if not written.exists():
        place = folder / "checkpoints" / f"step-{since:08d}"
        if not place.exists():
            return []
        checkpoint = Checkpoint.opened(place)
        losses = {
            f"{kind}|{stream}": _branch(checkpoint, task, other, preset.branch_steps, stream)
            for kind, other in kinds(config).items()
            for stream in range(preset.streams)
        }
        write_json_atomic(written, losses)
    before = [record.loss for record in read_history(folder / HISTORY)[:since]]
    found: list[Branch] = []
    for name, losses in json.loads(written.read_text(encoding="utf-8")).items():
        kind, stream = name.split("|")
        found.append(Branch(kind, config.seed, int(stream), before + losses, since))
    return found


def _branch(
    checkpoint: Checkpoint, task: PreviousToken, config: TrainConfig, steps: int, stream: int
) -> list[float]:
    """The losses of a run that goes on with this config, its moments kept, until it ends or diverges."""

    def batch(step: int) -> int:
        return derive(config.seed, "branch", stream, step)

    return continued(checkpoint, task, config, checkpoint.step + steps, batch)[1]


def continued(
    checkpoint: Checkpoint,
    task: PreviousToken,
    config: TrainConfig,
    until: int,
    seed_of: Callable[[int], int],
) -> tuple[HookedTransformer, list[float]]:
    """The model after `until` updates, gone on with from a checkpoint, and the losses on the way.

    Args:
        seed_of: the seed of a step's batch; with the run's own seeds and config this is the run itself, to the bit.
    """
    model = load(checkpoint.path)
    optimizer = adamw(model, config)
    checkpoint.restore(model, optimizer)
    losses: list[float] = []
    for step in range(checkpoint.step, until):
        batch = task.batch(config.batch_size, seed_of(step))
        lr = config.lr * float(config.schedule(step))
        try:
            losses.append(update(model, optimizer, batch, task, lr, config).loss)
        except TrainingDiverged:
            break
    return model, losses
