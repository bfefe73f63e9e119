"""Sweeps by gradients, with the check that says how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.core.results import Label, Recheck
from unweave.engine.attribution import Attributor, only_name
from unweave.engine.edits import Patch
from unweave.engine.metrics import Bound
from unweave.engine.study import Study

# An estimate that is off by more than this part of the largest exact effect is reported.
TOLERANCE = 0.2
# Integrated estimates must sum to the effect of the whole up to this part of it.
COMPLETE = 0.05


@dataclass(frozen=True, eq=False)
class Found:
    """Values of a sweep's cells, `[patch, sample]` or `[patch]`, and how far they can be trusted."""

    values: Tensor
    rechecks: tuple[Recheck, ...] = ()
    warnings: tuple[str, ...] = ()


def approximated(study: Study, method: str, steps: int, recheck: int, seed: int) -> Found:
    """The clean value plus each patch's estimated effect, and what the exact check of some says.

    Checked are the `recheck` cells with the largest estimates and as many at random, and, for each
    hook, the effect of all its cells' entries patched together against the sum of their estimates:
    where gradients vanish (a saturated softmax, a dead ReLU) all estimates are small, and only that
    shows it.
    """
    bound = study.executor.metric
    if isinstance(bound, Bound) and not bound.metric.differentiable:
        raise InputError(
            wanted="a metric with a gradient",
            got=f"{bound.metric.name}, which counts",
            remedy='write method="exact", or take LogitDifference',
        )
    wholes = study.wholes or [(patch, (number,)) for number, patch in enumerate(study.patches)]
    for patch in (*study.patches, *(whole for whole, _ in wholes)):
        only_name(patch)
    gradients = Attributor(study.model, study.base, study.executor.foreign, bound, study.executor.watch)
    if method == "attribution":
        estimates = gradients.first_order(study.patches)
    else:
        estimates = gradients.integrated(wholes, study.patches, steps)
    mean = estimates.mean(-1) if study.clean.ndim else estimates.sum(-1)
    values = study.clean + (estimates if study.clean.ndim else mean)
    if not recheck:
        return Found(values, (), ("no estimate was checked exactly: recheck=0",))
    cells = _cells(study, mean, recheck, seed)
    # Wholes of one cell are checked as cells.
    totals = _wholes(study, [w for w in wholes if len(w[1]) > 1], mean)
    warnings = (*about_nothing(mean), *about_cells(cells), *about_wholes(totals, method))
    for text in warnings:
        log.warning("%s sweep: %s", method, text)
    return Found(values, (*cells, *totals), warnings)


def _cells(study: Study, mean: Float[Tensor, " patch"], recheck: int, seed: int) -> list[Recheck]:
    order = mean.abs().argsort(descending=True)[:recheck].tolist()
    random = torch.randperm(len(mean), generator=seeds.generator(seed, "recheck"))[: 2 * recheck].tolist()
    random = [number for number in random if number not in order][:recheck]
    exact = _effects(study, [*order, *random])
    reasons = ["one of the largest"] * len(order) + ["at random"] * len(random)
    return [
        Recheck(study.grid.labels(number), mean[number].item(), effect, why)
        for number, effect, why in zip([*order, *random], exact, reasons, strict=True)
    ]


def _effects(study: Study, numbers: Sequence[int]) -> list[float]:
    measured = study.executor.measured([study.patches[number] for number in numbers])
    return _effect(study, measured)


def _effect(study: Study, measured: Tensor) -> list[float]:
    change = measured - study.clean
    return (change.mean(-1) if change.ndim == 2 else change).tolist()


def _wholes(study: Study, wholes: Sequence[tuple[Patch, tuple[int, ...]]], mean: Tensor) -> list[Recheck]:
    if not wholes:
        return []
    exact = _effect(study, study.executor.measured([whole for whole, _ in wholes]))
    found: list[Recheck] = []
    for (_, cells), effect in zip(wholes, exact, strict=True):
        first, last = study.grid.labels(cells[0]), study.grid.labels(cells[-1])
        shared: dict[str, Label] = {
            dim: label for dim, label in first.items() if dim in ("site", "layer") and last[dim] == label
        }
        total = mean[list(cells)].sum().item()
        found.append(Recheck(shared, total, effect, "all cells together"))
    return found


def about_nothing(mean: Float[Tensor, " patch"]) -> list[str]:
    """A warning if no estimate is anything but 0."""
    if bool(mean.any()):
        return []
    return ["all estimates are 0: either nothing depends on these sites, or gradients vanish on the way"]


def about_cells(cells: Sequence[Recheck]) -> list[str]:
    """A warning if one of the cells that were checked is far off."""
    worst = max(cells, key=lambda check: abs(check.approximate - check.exact))
    size = max(abs(check.exact) for check in cells)
    size = max(size, max(abs(check.approximate) for check in cells))
    if abs(worst.approximate - worst.exact) <= TOLERANCE * size:
        return []
    where = ", ".join(f"{dim} {label}" for dim, label in worst.labels.items())
    return [
        f"checked exactly, the effect at {where} is {worst.exact:.3g}, not {worst.approximate:.3g}: "
        "use method='exact' where it matters"
    ]


def about_wholes(wholes: Sequence[Recheck], method: str) -> list[str]:
    """Where estimates of parts don't sum to the effect of the whole: by an integral they must, else roughly."""
    texts: list[str] = []
    size = max((abs(check.exact) for check in wholes), default=0.0)
    for check in wholes:
        where = ", ".join(f"{dim} {label}" for dim, label in check.labels.items()) or "all cells"
        if abs(check.exact) < 1e-3 * size or not size:
            continue
        if method == "integrated" and abs(check.approximate - check.exact) > COMPLETE * abs(check.exact):
            texts.append(
                f"estimates at {where} sum to {check.approximate:.3g} and not to {check.exact:.3g}, "
                "the effect of patching them together: take more steps"
            )
        elif abs(check.approximate) < 0.1 * abs(check.exact):
            texts.append(
                f"estimates at {where} sum to {check.approximate:.3g}, but patching them together has an effect "
                f"of {check.exact:.3g}: gradients vanish or cancel there"
            )
    return texts
