"""Any analysis over a run's checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.results import Label, Result
from unweave.explore.dynamics import Dynamics
from unweave.explore.measures import named
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.history import HELD_OUT, HISTORY, read_held_out, read_history
from unweave.training.run_file import RUN, read_values

Measured = float | Tensor | Result
Measure = Callable[[HookedTransformer], Any]


def over_checkpoints(
    run: str | Path, measure: Measure | str, *, steps: Iterable[int] | None = None
) -> Dynamics:
    """What a measure says of a run's model at each of its checkpoints, in the order of their steps.

    Each checkpoint's files are compared with their hashes before it is opened; one model is in memory at a time.

    Args:
        run: the folder that `train(..., out=)` or `unweave train --out` wrote.
        measure: any function of a model that gives a number, an array of one shape, or a `Result` of one
            shape (most of `unweave.analysis` does); or a name among `unweave.explore.measures.names()`.
        steps: the checkpoints to look at, by the updates that were done; None is all.

    Returns:
        Values with the dimension "step" first, beside the run's loss history.

    Raises:
        InputError: if the folder holds no run or no checkpoint of a step that is asked for, if a checkpoint is
            damaged, or if the measure gives something else, or another shape at a later checkpoint.
    """
    run = Path(run)
    if not (run / RUN).exists():
        raise InputError(
            wanted="the folder of a run",
            got=f"{run}, without a {RUN}",
            remedy="name one that train(out=...) wrote",
        )
    measure = named(measure, run) if isinstance(measure, str) else measure
    name = _name(measure)
    parts, found = list[Result](), _chosen(run, steps)
    for path in found:
        parts.append(_result(measure(load(path)), name))
        _require_alike(parts[0], parts[-1], path)
    labels = tuple(Checkpoint.opened(path).step for path in found)
    history = tuple(read_history(run / HISTORY))
    provenance = {"metric": name, "run": read_values(run), "measured": dict(parts[0].provenance)}
    return Dynamics(_joined(labels, parts, provenance), history, tuple(read_held_out(run / HELD_OUT)))


def _chosen(run: Path, steps: Iterable[int] | None) -> list[Path]:
    there = {Checkpoint.opened(path).step: path for path in list_checkpoints(run / "checkpoints")}
    wanted = sorted(there) if steps is None else sorted(set(steps))
    missing = [step for step in wanted if step not in there]
    if missing or not wanted:
        raise InputError(
            wanted=f"steps after which there is a checkpoint in {run}: {', '.join(map(str, sorted(there))) or 'none'}",
            got=", ".join(map(str, missing)) or "none",
            remedy="name some of these; checkpoint_every, checkpoint_at and checkpoint_per_decade say where a run has them",
        )
    return [there[step] for step in wanted]


def _result(measured: Any, name: str) -> Result:
    """What a measure gave, as a result; an array's dimensions are numbered."""
    if isinstance(measured, Result):
        return measured
    if isinstance(measured, bool | int | float | np.ndarray | np.generic | Tensor):
        values = torch.as_tensor(measured).detach().cpu()
        values = values if values.dtype.is_floating_point else values.float()
        dims = tuple(f"dim {number}" for number in range(values.ndim))
        coords = {dim: tuple(range(size)) for dim, size in zip(dims, values.shape, strict=True)}
        return Result(values, dims, coords)
    raise InputError(
        wanted=f"a number, an array or a Result from the measure {name!r}",
        got=type(measured).__name__,
        remedy="return one of these; of several numbers make an array",
    )


def _require_alike(first: Result, now: Result, path: Path) -> None:
    was, got = _shape(first), _shape(now)
    if was != got:
        raise InputError(
            wanted=f"at every checkpoint the same labels: {was}",
            got=f"{got} at {path.name}",
            remedy="measure the same places, on the same tokens, whatever the weights are",
        )


def _shape(result: Result) -> dict[str, Sequence[Label]]:
    return {dim: tuple(result.coords[dim]) for dim in result.dims}


def _joined(steps: tuple[int, ...], parts: list[Result], provenance: dict[str, Any]) -> Result:
    first = parts[0]
    samples = [part.per_sample for part in parts]
    warnings = dict.fromkeys(text for part in parts for text in part.warnings)
    return Result(
        torch.stack([part.values.detach().cpu() for part in parts]),
        ("step", *first.dims),
        {"step": steps, **first.coords},
        first.unit,
        torch.stack(cast("list[Tensor]", samples)) if all(one is not None for one in samples) else None,
        {},
        provenance,
        any(part.approximate for part in parts),
        (),
        tuple(warnings),
    )


def _name(measure: Measure) -> str:
    name = getattr(measure, "__name__", type(measure).__name__).replace("_", " ")
    return "measure" if name == "<lambda>" else name
