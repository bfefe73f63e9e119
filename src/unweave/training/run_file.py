"""What was asked of a run: model, task and training in one readable file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from unweave.core.errors import InputError, nearest
from unweave.core.files import write_json_atomic
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Task, task_from
from unweave.training.config import TrainConfig

RUN = "run.json"
PARTS = ("task", "model", "training")

EXAMPLE: dict[str, Any] = {
    "task": {"name": "previous-token", "d_vocab": 50, "n_ctx": 16},
    "model": {
        "n_layers": 2,
        "d_model": 32,
        "n_heads": 1,
        "d_head": 32,
        "act_fn": "relu",
        "positional_embedding_type": "none",
        "seed": 0,
    },
    "training": {
        "steps": 400,
        "batch_size": 64,
        "lr": 0.002,
        "schedule": {"name": "LinearWarmup", "steps": 50},
        "seed": 0,
        "evaluate_every": 100,
    },
}


@dataclass(frozen=True)
class RunConfig:
    """A run as a value: what is trained on what, and how.

    Sizes that follow from the task (`d_vocab`, `d_vocab_out`, `n_ctx`) may be left out of the model.
    """

    task: Task
    model: HookedTransformerConfig
    training: TrainConfig

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The run that a file's values say.

        Raises:
            InputError: for an unknown part or field, or a value that doesn't fit.
        """
        for part in values:
            if part not in PARTS:
                raise InputError(
                    wanted=f"a table with {', '.join(PARTS)}",
                    got=repr(part),
                    remedy=f"nearest: {nearest(part, PARTS)}",
                )
        for part in PARTS:
            if not isinstance(values.get(part), Mapping):
                raise InputError(
                    wanted=f"a table for {part!r}",
                    got=repr(values.get(part)),
                    remedy="unweave train --example prints a whole file",
                )
        task = task_from(values["task"])
        sizes = {"d_vocab": task.d_vocab, "d_vocab_out": task.d_vocab_out, "n_ctx": task.n_ctx}
        model = HookedTransformerConfig.from_dict({**sizes, **values["model"]})
        return cls(task, model, TrainConfig.from_dict(values["training"]))

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """The run in this file, or in the `run.json` of this folder.

        Raises:
            InputError: if it can't be read, or doesn't fit.
        """
        return cls.from_dict(read_values(path))

    def to_dict(self) -> dict[str, Any]:
        """JSON values, every field written out."""
        return {
            "task": self.task.to_dict(),
            "model": self.model.to_dict(),
            "training": self.training.to_dict(),
        }

    def over_seeds(self, count: int) -> list[RunConfig]:
        """So many runs that differ in their seeds alone: of weights and of data, each from its own on.

        Raises:
            InputError: for less than one, or a model without a seed.
        """
        seed = self.model.seed
        if count < 1 or seed is None:
            raise InputError(
                wanted="at least 1 run, and a seed in the model's config",
                got=f"{count} and seed={seed}",
                remedy="set seed in HookedTransformerConfig, so that each run can be made again",
            )
        return [
            RunConfig(
                self.task,
                self.model.replaced(seed=seed + n),
                replace(self.training, seed=self.training.seed + n),
            )
            for n in range(count)
        ]

    def build(self) -> HookedTransformer:
        """A new model of this run, as it was before its first step."""
        return HookedTransformer(self.model)


def write_run_file(folder: Path, model: HookedTransformer, task: Task, config: TrainConfig) -> None:
    """Write `run.json`."""
    model_config = model.cfg.to_dict()
    if callable(model.cfg.act_fn):
        model_config["act_fn"] = getattr(model.cfg.act_fn, "__name__", "a function")
    values = {"task": task.to_dict(), "model": model_config, "training": config.to_dict()}
    write_json_atomic(folder / RUN, values)


def read_values(path: Path, example: str = "unweave train") -> dict[str, Any]:
    """The JSON values in this file, or in the `run.json` of this folder.

    Args:
        example: the command whose `--example` prints such a file.

    Raises:
        InputError: if they can't be read.
    """
    path = path / RUN if path.is_dir() else path
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        values = error
    if not isinstance(values, dict):
        raise InputError(
            wanted=f"a table of JSON values in {path}",
            got=str(values) if isinstance(values, Exception) else type(values).__name__,
            remedy=f"{example} --example prints a small file",
        )
    return cast(dict[str, Any], values)
