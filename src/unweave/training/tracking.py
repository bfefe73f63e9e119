"""The same numbers to TensorBoard, Weights & Biases or trackio, where one of these is installed.

The history file stays the source of truth: a tracker gets what was written there, after it.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from unweave.core.errors import InputError
from unweave.training.history import HeldOut, StepRecord


@runtime_checkable
class Tracker(Protocol):
    """What `train(trackers=[...])` takes."""

    def record(self, record: StepRecord, held_out: HeldOut | None) -> None:
        """One step's record, and what was measured on held-out sequences after it, if anything was."""
        ...

    def close(self) -> None:
        """The run is over, or was stopped."""
        ...


class TensorBoard:
    """Writes event files beside the run: `tensorboard --logdir RUN_DIR`."""

    def __init__(self, folder: Path) -> None:
        self._writer = _needed("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(folder))

    def record(self, record: StepRecord, held_out: HeldOut | None) -> None:
        """One step's numbers, each a scalar."""
        for name, value in numbers(record, held_out).items():
            self._writer.add_scalar(name, value, record.step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class Logged:
    """Weights & Biases, or trackio, which has the same calls: one run in the project `unweave`.

    One that is resumed goes on in trackio's run of that name; Weights & Biases, which knows runs by
    an id of its own, begins another.
    """

    def __init__(self, package: str, folder: Path, config: dict[str, Any], resume: bool = False) -> None:
        self._package = _needed(package, package)
        going_on = {"resume": "allow"} if resume else {}
        self._package.init(project="unweave", name=folder.name, config=config, **going_on)

    def record(self, record: StepRecord, held_out: HeldOut | None) -> None:
        """One step's numbers."""
        self._package.log(numbers(record, held_out), step=record.step)

    def close(self) -> None:
        """Send what is left."""
        self._package.finish()


def tracker(name: str, folder: Path, config: dict[str, Any], resume: bool = False) -> Tracker:
    """The tracker of that name, for a run in `folder`, which may be one that goes on.

    Raises:
        InputError: for another name, or if its package isn't installed.
    """
    if name == "tensorboard":
        return TensorBoard(folder / "tensorboard")
    if name in ("wandb", "trackio"):
        return Logged(name, folder, config, resume)
    raise InputError(
        wanted="tensorboard, wandb or trackio", got=repr(name), remedy="history.jsonl is written without any"
    )


def numbers(record: StepRecord, held_out: HeldOut | None) -> dict[str, float]:
    """A step's numbers by name, with those on held-out sequences if some were taken after it."""
    values: dict[str, float] = {
        f"train/{name}": value for name, value in asdict(record).items() if name != "step"
    }
    if held_out is not None:
        values |= {"held_out/loss": held_out.loss, "held_out/accuracy": held_out.accuracy}
    return values


def _needed(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            wanted=f"{package}, to track with it",
            got="none installed",
            remedy=f"pip install {package}, or leave it out: history.jsonl holds the same",
        ) from error
