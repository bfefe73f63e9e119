"""When checkpoints are written, and the folder they go to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch

from unweave.core.files import require_folder
from unweave.model.saved import require_own_folder
from unweave.model.transformer import HookedTransformer
from unweave.training.checkpoints import list_checkpoints, write_checkpoint
from unweave.training.config import TrainConfig
from unweave.training.history import HELD_OUT, HISTORY, TIMES
from unweave.training.run_file import RUN
from unweave.training.surroundings import Surroundings

# A file of this name in the run's folder asks for a checkpoint after the step that is being done.
ON_DEMAND = "checkpoint-now"


@dataclass(frozen=True)
class Saver:
    """Writes a run's checkpoints; without a folder it writes none."""

    folder: Path | None
    config: TrainConfig
    surroundings: Surroundings
    wanted: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wanted", frozenset(self.config.checkpoint_steps()))

    def due(self, step: int) -> bool:
        """Whether one is wanted after `step` updates, by the config or by whoever watches the run."""
        return self.folder is not None and (step in self.wanted or (self.folder / ON_DEMAND).exists())

    def save(self, model: HookedTransformer, optimizer: torch.optim.Optimizer, step: int) -> Path | None:
        """Write one, after `step` updates."""
        if self.folder is None:
            return None
        path = write_checkpoint(
            self.folder / "checkpoints", model, optimizer, self.config, step, self.surroundings
        )
        (self.folder / ON_DEMAND).unlink(missing_ok=True)
        return path


def prepare(folder: Path, anew: bool) -> None:
    """Make the run's folder ready: without what an earlier run left, or this one when it was killed while writing.

    Raises:
        InputError: if it can't be a run's folder; nothing in it has then been touched.
    """
    require_folder(folder, "the run")
    model, checkpoints = require_own_folder(folder / "model"), folder / "checkpoints"
    stale = [*folder.glob(".model.*"), *checkpoints.glob(".step-*"), *folder.glob(".*.jsonl.*.part")]
    if anew:
        files = [folder / name for name in (RUN, HISTORY, TIMES, HELD_OUT, ON_DEMAND)]
        stale += [*list_checkpoints(checkpoints), model, *files]
    for path in stale:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
