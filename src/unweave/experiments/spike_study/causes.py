"""What the doctor says of each spike: the cause for which it finds evidence in the run's own checkpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from unweave.experiments.spike_study.cells import ORIGINAL
from unweave.experiments.spike_study.runs import Job
from unweave.training.doctor import afterwards

UNEXPLAINED = "no single batch"
NOTE = (
    "The batch of each spike is made again from its seed and shown to the model of the checkpoint before it: a batch "
    "that stands out there already is bad by itself; where none does, the cause is the state of the model or of its "
    "optimiser."
)


def causes(trainings: Sequence[Job], progress: bool = False) -> dict[str, Any]:
    """The doctor's cause of every spike after learning, in the cells with the original's settings."""
    looked_at = [job for job in trainings if job.cell.setting == ORIGINAL]
    rows: list[dict[str, Any]] = []
    for job in tqdm(looked_at, desc="causes", unit="run", disable=not progress):
        rows += _of_run(job)
    counts = {job.cell.name: dict[str, int]() for job in looked_at}
    for name in counts:
        counts[name] = dict(Counter(row["cause"] for row in rows if row["cell"] == name).most_common())
    return {
        "counts": counts if rows else {},
        "spikes": rows,
        "note": NOTE if rows else "There was no spike to look at.",
    }


def _of_run(job: Job) -> list[dict[str, Any]]:
    strange, left = afterwards.bad_batches(job.folder, job.read().spikes, job.preset.task, job.training)
    named = [(int(found.evidence["step"]), found.code, found.said) for found in strange]
    named += [(spike.step, UNEXPLAINED, "") for spike in left]
    return [
        {"cell": job.cell.name, "seed": job.seed, "step": step, "cause": cause, "said": said}
        for step, cause, said in sorted(named)
    ]
