"""What preceded each spike of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unweave.tasks import Task
from unweave.training.config import TrainConfig
from unweave.training.doctor.causes import diagnosed
from unweave.training.doctor.diagnosis import Diagnosis
from unweave.training.doctor.witness import Witness, begun
from unweave.training.history import HISTORY, StepRecord, read_history
from unweave.training.run_file import RunConfig, read_values
from unweave.training.spikes import Spike, find_spikes

SMALL = 0.01  # of the loss of chance: below, a spike is the noise of batches
MOST = 5


def explain(
    folder: str | Path,
    task: Task | None = None,
    most: int | None = MOST,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Diagnosis]:
    """The causes of a run's spikes, from its history, its checkpoints, and an exact replay between them.

    For each spike the run is gone on with from the nearest checkpoint before, and watched: see
    `Witness` for what is measured and `causes` for the rules.

    Args:
        task: the run's, if it is one of your own, which a file can't name.
        most: explain only so many, the highest ones; None: all.
        progress: told how many are done, of how many.

    Returns:
        One diagnosis a spike, by step. Spikes below 1% of the loss of chance are left out.

    Raises:
        InputError: if the folder holds no run.
    """
    folder = Path(folder)
    history, task, config = run_of(folder, task)
    spikes = sorted(worth_it(history, task), key=lambda spike: -spike.loss)[:most]
    found: list[Diagnosis] = []
    for done, spike in enumerate(sorted(spikes)):
        progress(done, len(spikes))
        found.append(explain_one(folder, spike, history, task, config))
    progress(len(spikes), len(spikes))
    return found


def explain_one(
    folder: Path, spike: Spike, history: Sequence[StepRecord], task: Task, config: TrainConfig
) -> Diagnosis:
    """The cause of one spike."""
    seen = Witness.of(folder, spike, history, task, config)
    if seen is not None:
        return diagnosed(seen, config)
    onset, level = begun(spike, history)
    return Diagnosis(
        spike,
        onset,
        "unknown",
        "none",
        {"level before": level},
        unknowable=(
            f"there is no checkpoint before step {onset} to go on from: checkpoint_every={max(onset // 2, 1)}, "
            "or checkpoint_at=[0], would have let it be replayed",
        ),
    )


def run_of(folder: Path, task: Task | None = None) -> tuple[list[StepRecord], Task, TrainConfig]:
    """A run's history, its task, and how it was trained.

    Raises:
        InputError: if the folder holds no run.
    """
    history = read_history(folder / HISTORY)
    if task is not None:
        return history, task, TrainConfig.from_dict(read_values(folder)["training"])
    run = RunConfig.read(folder)
    return history, run.task, run.training


def worth_it(history: Sequence[StepRecord], task: Task) -> list[Spike]:
    """The spikes that rise above 1% of the loss of chance."""
    spikes = find_spikes([record.loss for record in history])
    return [spike for spike in spikes if spike.loss > SMALL * task.chance_loss]
