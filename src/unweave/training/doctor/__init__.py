"""The doctor: what is wrong with a run, before it costs a minute, and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave.tasks import Task
from unweave.training.config import TrainConfig
from unweave.training.doctor import afterwards, beforehand
from unweave.training.doctor.diagnosis import Diagnosis, Experiment, Suspicion
from unweave.training.doctor.experiments import Confirmation, Progress, Trial, confirm
from unweave.training.doctor.explain import MOST, explain, worth_it
from unweave.training.doctor.finding import Examination, Finding
from unweave.training.history import HISTORY, StepRecord, read_history
from unweave.training.run_file import RunConfig, read_values
from unweave.training.spikes import find_spikes

__all__ = [
    "Confirmation",
    "Diagnosis",
    "Examination",
    "Experiment",
    "Finding",
    "Suspicion",
    "Trial",
    "confirm",
    "examine",
    "examine_run",
    "explain",
]

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


def examine_run(
    folder: Path,
    task: Task | None = None,
    most: int | None = MOST,
    confirming: bool = False,
    progress: Progress = lambda said, done, of: None,
) -> Examination:
    """What is to be said of a run that has begun, from its folder.

    Args:
        task: the run's, if it is one of your own, which a file can't name.
        most: explain only so many spikes, the highest; None: all.
        confirming: run the experiments on the highest spike of each cause; see `confirm`.
        progress: told what is being done, and how much of it is, of how much.

    Raises:
        InputError: if the folder holds no run.
    """
    values = read_values(folder)
    history = read_history(folder / HISTORY)
    looked, skipped, findings = (
        ["spikes and what preceded them", "clipping"],
        dict[str, str](),
        list[Finding](),
    )
    own = task
    if task is None:
        run = RunConfig.read(folder)
        task, config = run.task, run.training
        before = examine(run)
        findings, looked = [*before.findings], [*before.looked_at, *looked]
    else:
        config = TrainConfig.from_dict(values["training"])
        skipped["what a config says"] = "the task is your own: pass a RunConfig to examine"
    found = explain(folder, own, most, lambda done, of: progress("explaining spikes", done, of))
    confirmed: dict[int, Confirmation] = {}
    if confirming:
        highest = [group[0] for group in afterwards.by_cause(found)]
        confirmed = {one.spike.step: confirm(folder, one, own, progress) for one in highest}
    findings += [*afterwards.clipping(history, config), *afterwards.spikes(found, confirmed)]
    skipped |= _left_out(history, task, len(found))
    return Examination(tuple(findings), tuple(looked), skipped)


def _left_out(history: Sequence[StepRecord], task: Task, explained: int) -> dict[str, str]:
    """Spikes that were not explained, and why."""
    every = find_spikes([record.loss for record in history])
    large = worth_it(history, task)
    left: dict[str, str] = {}
    if len(large) > explained:
        left[_counted(len(large) - explained, "lower spike")] = (
            "only the highest are explained: most=…, --spikes N"
        )
    if len(every) > len(large):
        left[_counted(len(every) - len(large), "tiny spike")] = (
            "below 1% of the loss of chance, the noise of batches"
        )
    return left


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
