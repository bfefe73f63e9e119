"""The trainings themselves: each in a folder of its own, resumed where it was stopped, in several processes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from unweave.experiments.spike_study.branches import go_on, show_batches
from unweave.experiments.spike_study.cells import CELLS, ORIGINAL, Cell
from unweave.experiments.spike_study.presets import Preset
from unweave.experiments.spike_study.study import Branch, Study
from unweave.experiments.spike_study.trained import Trained
from unweave.model.transformer import HookedTransformer
from unweave.training import TrainConfig, TrainingDiverged, train
from unweave.training.history import HISTORY, read_history
from unweave.training.resume import begun_before

BRANCHED = f"max, {ORIGINAL}"
FROZEN = tuple(f"{schedule}, {ORIGINAL}" for schedule in ("max", "min", "matched"))


@dataclass(frozen=True)
class Job:
    """One training: a cell, on a seed, in a folder."""

    preset: Preset
    cell: Cell
    seed: int
    folder: Path

    @property
    def training(self) -> TrainConfig:
        return dataclasses.replace(self.cell.training(self.preset.training), seed=self.seed)

    def train(self) -> None:
        """Train, or go on where it was stopped; a run that diverges ends there, which its history shows."""
        model = HookedTransformer(self.preset.model(self.seed))
        # Of another preset it is refused, also where it came to its end.
        begun_before(self.folder, model, self.preset.task, self.training)
        if (self.folder / "model").exists() or (self.folder / "diverged").exists():
            return
        try:
            train(model, self.preset.task, self.training, self.folder, resume=True)
        except TrainingDiverged as stop:
            (self.folder / "diverged").write_text(f"{stop}\n", encoding="utf-8")

    def read(self) -> Trained:
        """What its history says."""
        history = read_history(self.folder / HISTORY)
        return Trained(
            self.cell.name,
            self.seed,
            [record.loss for record in history],
            [record.grad_norm for record in history],
            self.preset.task.chance_loss,
            self.training.max_grad_norm,
            self.training.steps,
        )


def jobs(preset: Preset, seeds: Sequence[int], out: Path) -> list[Job]:
    """Every training, seed by seed, so that a study that is stopped has whole seeds."""
    return [
        Job(
            preset, cell, seed, out / "runs" / cell.name.replace(", ", "_").replace(" ", "-") / f"seed-{seed}"
        )
        for seed in seeds
        for cell in CELLS
    ]


def run_all(preset: Preset, seeds: Sequence[int], out: Path, workers: int | None, progress: bool) -> Study:
    """Do what is still to be done, and put the study together; `out` then has it in one file too.

    Args:
        workers: processes, of one thread each; by default as many as there are cores.
    """
    trainings = jobs(preset, seeds, out)
    in_processes([job.train for job in trainings], workers, "training", progress)
    extras: list[Callable[[], object]] = [
        partial(_frozen, job) for job in trainings if job.cell.name in FROZEN
    ]
    extras += [partial(_branches, job) for job in trainings if job.cell.name == BRANCHED]
    in_processes(extras, workers, "frozen models and branches", progress)
    study = Study(
        preset.training.steps,
        {cell.name: [job.read() for job in trainings if job.cell == cell] for cell in CELLS},
        {name: [_frozen(job) for job in trainings if job.cell.name == name] for name in FROZEN},
        [branch for job in trainings if job.cell.name == BRANCHED for branch in _branches(job)],
    )
    study.save(out)
    return study


def _frozen(job: Job) -> list[float]:
    return show_batches(job.folder, job.preset.task, job.training, job.preset.frozen)


def _branches(job: Job) -> list[Branch]:
    return go_on(job.folder, job.preset.task, job.training, job.preset)


def in_processes(
    work: Sequence[Callable[[], object]], workers: int | None, label: str, progress: bool
) -> None:
    """Do all of it, each in one thread, in as many processes as there are workers; alone, in this one."""
    count = min(workers or (os.cpu_count() or 1), max(1, len(work)))
    with tqdm(total=len(work), desc=label, unit="run", disable=not progress) as bar:
        if count == 1:
            with _one_thread():
                for part in work:
                    part()
                    bar.update()
            return
        with ProcessPoolExecutor(count, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            futures = [pool.submit(part) for part in work]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


@contextmanager
def _one_thread() -> Generator[None]:
    # A run's last bits depend on the number of threads: they should be the same with any number of processes.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
