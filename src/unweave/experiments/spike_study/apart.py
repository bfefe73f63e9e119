"""Spikes taken apart: how much is the batch, and how much the state that the model had come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from unweave.core.files import write_json_atomic
from unweave.core.seeds import derive
from unweave.experiments.spike_study.branches import continued
from unweave.experiments.spike_study.cells import ORIGINAL
from unweave.experiments.spike_study.runs import Job, in_processes
from unweave.tasks import PreviousToken
from unweave.training import TrainConfig
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.evaluation import evaluate
from unweave.training.history import HISTORY, StepRecord, read_history
from unweave.training.spikes import Spike

BEFORE = 50  # steps whose median is the level from which a spike rises
OTHERS = 16  # batches that the spike's own is compared with


def take_apart(trainings: Sequence[Job], workers: int | None, progress: bool = False) -> list[dict[str, Any]]:
    """The highest spikes of the cells with the original's settings, taken apart.

    What was found is kept beside each run, and not looked for again.
    """
    looked_at = [job for job in trainings if job.cell.setting == ORIGINAL]
    work: list[Callable[[], object]] = [partial(_apart, job) for job in looked_at]
    in_processes(work, workers, "spikes taken apart", progress)
    return [row for job in looked_at for row in _apart(job)]


def _apart(job: Job) -> list[dict[str, Any]]:
    written = job.folder / "apart.json"
    if not written.exists():
        history = read_history(job.folder / HISTORY)
        highest = sorted(job.read().spikes, key=lambda spike: -spike.loss)[: job.preset.apart]
        rows = [taken_apart(job.folder, s, history, job.preset.task, job.training) for s in highest]
        named = [{"cell": job.cell.name, "seed": job.seed, **row} for row in rows if row is not None]
        write_json_atomic(written, named)
    return json.loads(written.read_text(encoding="utf-8"))


def taken_apart(
    folder: Path, spike: Spike, history: Sequence[StepRecord], task: PreviousToken, config: TrainConfig
) -> dict[str, Any] | None:
    """The level before a spike, and what other batches lose just before its update, in the same model.

    `share of the state` is the part of the rise that those others have as well: 1 where any batch would
    have had this loss, 0 where its own alone is hard. `exact` says whether the steps from the checkpoint on
    came out as the history has them, to the bit. None where no checkpoint lies before the spike.
    """
    places = [Checkpoint.opened(path) for path in list_checkpoints(folder / "checkpoints")]
    before = [place for place in places if place.step <= spike.step]
    if not before:
        return None
    begun = before[-1]
    model, losses = continued(
        begun, task, config, spike.step, lambda step: derive(config.seed, "train", step)
    )
    seeds = [derive(config.seed, "others", number) for number in range(OTHERS)]
    others = mean(
        evaluate(model, task, task.batch(config.batch_size, seed), config.batch_size)[0] for seed in seeds
    )
    level = median(record.loss for record in history[max(0, spike.step - BEFORE) : spike.step])
    return {
        "step": spike.step,
        "loss": round(spike.loss, 6),
        "level": round(level, 6),
        "others": round(others, 6),
        "share of the state": round((others - level) / (spike.loss - level), 4),
        "exact": losses == [record.loss for record in history[begun.step : spike.step]],
    }
