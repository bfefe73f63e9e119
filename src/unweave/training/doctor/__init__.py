"""The doctor: what is wrong with a run, before it costs a minute, and after."""

from __future__ import annotations

from pathlib import Path

from unweave.tasks import Task
from unweave.training.config import TrainConfig
from unweave.training.doctor import afterwards, beforehand
from unweave.training.doctor.finding import Examination, Finding
from unweave.training.history import HISTORY, read_history
from unweave.training.run_file import RunConfig, read_values

__all__ = ["Examination", "Finding", "examine", "examine_run"]

BEFOREHAND = {
    "schedule": beforehand.schedule,
    "loss before the first step": beforehand.first_loss,
    "shortcuts by position": beforehand.positional_shortcut,
    "held-out data and seeds": beforehand.evidence_to_come,
}


def examine(run: RunConfig) -> Examination:
    """What is to be said of a run before it begins; nothing is trained."""
    findings = [finding for look in BEFOREHAND.values() for finding in look(run)]
    return Examination(tuple(findings), tuple(BEFOREHAND))


def examine_run(folder: Path, task: Task | None = None) -> Examination:
    """What is to be said of a run that has begun, from its folder.

    Args:
        task: the run's, if it is one of your own, which a file can't name.

    Raises:
        InputError: if the folder holds no run.
    """
    values = read_values(folder)
    history = read_history(folder / HISTORY)
    looked, skipped, findings = ["spikes", "clipping"], dict[str, str](), list[Finding]()
    if task is None:
        run = RunConfig.read(folder)
        task, config = run.task, run.training
        before = examine(run)
        findings, looked = [*before.findings], [*before.looked_at, *looked]
    else:
        config = TrainConfig.from_dict(values["training"])
        skipped["what a config says"] = "the task is your own: pass a RunConfig to examine"
    found = afterwards.spikes(history)
    strange, left = afterwards.bad_batches(folder, found, task, config)
    findings += [
        *strange,
        *afterwards.unexplained(left, history, config),
        *afterwards.clipping(history, config),
    ]
    return Examination(tuple(findings), (*looked, "batches of spikes"), skipped)
