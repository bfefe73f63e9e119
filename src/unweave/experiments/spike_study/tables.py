"""The study as tables of JSON values: what the page shows and the notebook draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import torch

from unweave.analysis.intervals import over_seeds
from unweave.experiments.spike_study.cells import (
    CELLS,
    DAMPED,
    FASTER,
    ORIGINAL,
    SETTINGS,
    SLOWER,
    UNCLIPPED,
)
from unweave.experiments.spike_study.effects import difference, interaction, removed
from unweave.experiments.spike_study.presets import Preset
from unweave.experiments.spike_study.study import Study
from unweave.experiments.spike_study.trained import FEWEST, Trained

PARTS = 6  # of a run, for spikes by learning rate
LEAST = 50  # steps in a part, below which it is left out


def cells(study: Study, preset: Preset) -> dict[str, dict[str, Any]]:
    """What each cell is, and what became of its runs, seed by seed."""
    found: dict[str, dict[str, Any]] = {}
    for cell in CELLS:
        runs, training = study.runs[cell.name], cell.training(preset.training)
        found[cell.name] = {
            "schedule": cell.schedule,
            "setting": cell.setting,
            "largest lr": _digits(training.lr * max(training.schedule(step) for step in range(study.steps))),
            "spikes per 1000 steps": over_seeds(study.rates(cell.name), "per 1000 steps").to_dict(),
            "large per 1000 steps": over_seeds(study.large_rates(cell.name), "per 1000 steps").to_dict(),
            "rates": [_digits(run.rate) for run in runs],
            "spikes": [[_spike(run, step, loss) for step, loss in run.spikes] for run in runs],
            "learned at step": [run.learned for run in runs],
            "steps after learning": [run.exposure for run in runs],
            "share clipped": [_digits(run.clipped) for run in runs],
            "loss at the end": [_digits(run.final) for run in runs],
            "diverged": sum(run.diverged for run in runs),
        }
    return found


# What is changed, in which cell, and the cell that has it changed.
EFFECTS: tuple[tuple[str, str, str, str], ...] = (
    *(("schedule", "min in the place of max", f"max, {setting}", f"min, {setting}") for setting in SETTINGS),
    ("growth", "a constant rate with the same sum", f"max, {ORIGINAL}", f"matched, {ORIGINAL}"),
    ("second moment", "beta2 0.8 in the place of 0.95", f"max, {ORIGINAL}", f"max, {FASTER}"),
    ("second moment", "beta2 0.8 in the place of 0.95", f"min, {ORIGINAL}", f"min, {FASTER}"),
    ("second moment", "beta2 0.999 in the place of 0.95", f"max, {ORIGINAL}", f"max, {SLOWER}"),
    ("clipping", "no clipping", f"max, {ORIGINAL}", f"max, {UNCLIPPED}"),
    ("clipping", "no clipping", f"min, {ORIGINAL}", f"min, {UNCLIPPED}"),
    ("small gradients", "eps 1e-3 in the place of 1e-8", f"max, {ORIGINAL}", f"max, {DAMPED}"),
)


def effects(study: Study) -> list[dict[str, Any]]:
    """How many spikes each change removes: as a share, and per 1000 steps."""
    return [
        {
            "cause": cause,
            "change": change,
            "from": before,
            "to": after,
            "share removed": removed(study.rates(after), study.rates(before)).to_dict(),
            "fewer": difference(study.rates(before), study.rates(after)).to_dict(),
            "share removed, large": removed(study.large_rates(after), study.large_rates(before)).to_dict(),
        }
        for cause, change, before, after in EFFECTS
    ]


# Two changes, and the cells that have both, the first, the second, and neither.
INTERACTIONS: tuple[tuple[str, str, str, str, str], ...] = tuple(
    (f"max and {setting}", f"max, {setting}", f"max, {ORIGINAL}", f"min, {setting}", f"min, {ORIGINAL}")
    for setting in (FASTER, UNCLIPPED)
)


def interactions(study: Study) -> list[dict[str, Any]]:
    """What two changes do together beyond the sum of what each does alone."""
    return [
        {
            "changes": name,
            "beyond the sum": interaction(
                *(study.rates(cell) for cell in (both, one, other, neither))
            ).to_dict(),
        }
        for name, both, one, other, neither in INTERACTIONS
    ]


def by_learning_rate(study: Study, preset: Preset) -> dict[str, list[dict[str, Any]]]:
    """Spikes after learning in each sixth of the run, beside the learning rate in its middle."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in CELLS:
        if cell.setting != ORIGINAL:
            continue
        training = cell.training(preset.training)
        rows: list[dict[str, Any]] = []
        for part in range(PARTS):
            first, last = (study.steps * n // PARTS for n in (part, part + 1))
            rates = torch.tensor([_rate_within(run, first, last) for run in study.runs[cell.name]])
            if not bool(rates.isnan().any()):
                lr = training.lr * training.schedule((first + last) // 2)
                rows.append(
                    {
                        "steps": [first, last],
                        "lr": _digits(lr),
                        **over_seeds(rates, "per 1000 steps").to_dict(),
                    }
                )
        found[cell.name] = rows
    return found


def frozen(study: Study) -> dict[str, Any]:
    """What finished models, trained no further, have of spikes, and what training has beyond that, seed by seed."""
    return {
        cell: {
            "finished": over_seeds(study.frozen_rates(cell), "per 1000 batches").to_dict(),
            "beyond": difference(study.rates(cell), study.frozen_rates(cell)).to_dict(),
        }
        for cell in study.frozen
    }


def branches(study: Study) -> dict[str, Any]:
    """Spikes of every kind of branch, and of the runs that they left, from the same step on."""
    kinds = list(dict.fromkeys(branch.kind for branch in study.branches))
    if not kinds:
        return {}
    since = study.branches[0].since
    own = over_seeds(study.own_rates(f"max, {ORIGINAL}", since), "per 1000 steps")
    rates = {kind: over_seeds(study.branch_rates(kind), "per 1000 steps") for kind in kinds}
    return {
        "since": since,
        "rates": {"the run itself": own.to_dict(), **{kind: rate.to_dict() for kind, rate in rates.items()}},
    }


def states(apart: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each cell's spikes, the share of the rise that other batches have too: the mean over each seed's, then over seeds."""
    found: dict[str, Any] = {}
    for cell in dict.fromkeys(row["cell"] for row in apart):
        by_seed: dict[int, list[float]] = {}
        for row in apart:
            if row["cell"] == cell:
                by_seed.setdefault(row["seed"], []).append(row["share of the state"])
        found[cell] = {
            "spikes": sum(map(len, by_seed.values())),
            "seeds": len(by_seed),
            **over_seeds(torch.tensor([mean(shares) for shares in by_seed.values()])).to_dict(),
        }
    return found


def losses(study: Study) -> dict[str, Any]:
    """The loss at every step of the first seed's runs with the original's settings, spikes apart."""
    first = {f"{s}, {ORIGINAL}": study.runs[f"{s}, {ORIGINAL}"][0] for s in ("max", "min", "matched")}
    return {
        name: {
            "loss": [_digits(loss) for loss in run.losses],
            "spikes": [[s.step, _digits(s.loss)] for s in run.spikes],
        }
        for name, run in first.items()
    }


def _spike(run: Trained, step: int, loss: float) -> dict[str, Any]:
    before = run.losses[max(0, step - 50) : step]
    return {
        "step": step,
        "loss": _digits(loss),
        "over the 50 steps before": _digits(loss * len(before) / sum(before)),
    }


def _rate_within(run: Trained, first: int, last: int) -> float:
    if run.learned is None or run.exposure < FEWEST:
        return math.nan
    first = max(first, run.learned)
    if last - first < LEAST:
        return math.nan
    return 1000 * sum(first <= spike.step < last for spike in run.spikes) / (last - first)


def _digits(value: float) -> float | None:
    """Six significant digits; None for what is not a number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
