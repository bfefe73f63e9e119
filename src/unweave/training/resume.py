"""Going on where a run was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.model.saved import read_config
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Task
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.config import TrainConfig
from unweave.training.run_file import RUN, read_values

# A longer run, more checkpoints, and other measurements: steps that were done stay what they are.
MAY_CHANGE = {"steps", "checkpoint_every", "checkpoint_at", "checkpoint_per_decade"}
# Where a model is put is checked with the other surroundings.
OF_THE_MACHINE = {"device"}


def begun_before(
    folder: Path, model: HookedTransformer, task: Task, config: TrainConfig, name: str | None = None
) -> Checkpoint | None:
    """The last checkpoint of this run in `folder`, or the one of that name; None if there is none yet.

    Raises:
        InputError: if the folder holds another run, the checkpoint is damaged, or from beyond the
            last step that is wanted.
    """
    found = list_checkpoints(folder / "checkpoints")
    found = found if name is None else [path for path in found if path.name == name]
    if not found:
        return None
    checkpoint = Checkpoint.opened(found[-1])
    _require_same("training", dict(checkpoint.config), config.to_dict(), MAY_CHANGE)
    _require_same("model", read_config(found[-1]).to_dict(), model.cfg.to_dict(), OF_THE_MACHINE)
    if (folder / RUN).exists():
        _require_same("task", read_values(folder)["task"], task.to_dict(), set())
    if checkpoint.step > config.steps:
        raise InputError(
            wanted=f"at least {checkpoint.step} steps, which the run has done",
            got=str(config.steps),
            remedy="ask for more, or name another folder",
        )
    return checkpoint


def _require_same(what: str, before: dict[str, Any], now: dict[str, Any], free: set[str]) -> None:
    for name in sorted({*before, *now} - free):
        if before.get(name) != now.get(name):
            raise InputError(
                wanted=f"{what}'s {name} {before.get(name)!r}, with which the run in this folder was begun",
                got=repr(now.get(name)),
                remedy="go on with the same config, or name another folder for another run",
            )
