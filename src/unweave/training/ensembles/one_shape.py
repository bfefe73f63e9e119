"""What the members of an ensemble must share, and what each may have of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from unweave.core.errors import InputError
from unweave.tasks import Task
from unweave.training.config import TrainConfig
from unweave.training.fit import require_fit
from unweave.training.run_file import RunConfig

# Numbers that change no shape and no operation. Every other field has to be the same.
OWN: dict[str, frozenset[str]] = {
    "model": frozenset({"seed", "init_mode", "initializer_range"}),
    "training": frozenset(
        {
            "lr",
            "betas",
            "eps",
            "weight_decay",
            "max_grad_norm",
            "schedule",
            "seed",
            "checkpoint_every",
            "checkpoint_at",
            "checkpoint_per_decade",
        }
    ),
}


def require_one_shape(runs: Sequence[RunConfig]) -> None:
    """Refuse runs that can't be trained at once.

    Raises:
        InputError: naming every field that differs and may not, and who has it.
    """
    if not runs or not all(isinstance(run, RunConfig) for run in runs):
        raise InputError(
            wanted="at least one RunConfig",
            got=", ".join(sorted({type(run).__name__ for run in runs})) or "none",
            remedy="write RunConfig(task, model_config, train_config).over_seeds(8)",
        )
    for run in runs:
        require_fit(run.model, run.task)
    first = _shape(runs[0])
    for number, run in enumerate(runs):
        differing = {name: value for name, value in _shape(run).items() if value != first[name]}
        if differing:
            raise InputError(
                wanted=f"members of one shape: {_told({name: first[name] for name in differing})} as in member 0",
                got=f"{_told(differing)} in member {number}",
                remedy="train each shape as an ensemble of its own; members may differ in "
                + "; ".join(f"{part}'s {', '.join(sorted(own))}" for part, own in OWN.items()),
            )
    _require_whole_batches(runs[0].training)


def _shape(run: RunConfig) -> dict[str, Any]:
    """All that members must share, by name."""
    parts = {"model": run.model, "training": run.training}
    fields = {
        f"{part}'s {field.name}": getattr(config, field.name)
        for part, config in parts.items()
        for field in dataclasses.fields(cast(Any, config))
        if field.name not in OWN[part]
    }
    return {**_asked(run.task), **fields}


def _asked(task: Task) -> dict[str, Any]:
    """Of a task the shape of its batches; what stands in them is each member's own."""
    sizes = {name: getattr(task, name) for name in ("name", "n_ctx", "d_vocab", "d_vocab_out", "scored")}
    return {f"task's {name}": value for name, value in sizes.items()}


def _require_whole_batches(config: TrainConfig) -> None:
    if config.accumulate != 1:
        raise InputError(
            wanted="accumulate=1 in an ensemble, whose members run whole batches side by side",
            got=str(config.accumulate),
            remedy="set a smaller batch_size, or train these runs one by one: unweave.training.train",
        )


def _told(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in fields.items())
