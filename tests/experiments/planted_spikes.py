"""Studies written by hand: every run, finished model and branch has the spikes that the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from unweave.experiments.spike_study.cells import CELLS
from unweave.experiments.spike_study.study import BRANCH_FASTER, RATE_OF_MIN, UNCHANGED, Branch, Study
from unweave.experiments.spike_study.trained import Trained

STEPS, LEARNED, LEVEL, CHANCE = 1100, 100, 0.02, 3.0
SEEDS = range(5)


def losses(spikes: int, steps: int = STEPS, learned: int = LEARNED, first: int | None = None) -> list[float]:
    """A loss that is learned at once at `learned`, with so many spikes evenly apart from `first` on."""
    found = [CHANCE] * learned + [LEVEL] * (steps - learned)
    begin = learned + 20 if first is None else first
    for n in range(spikes):
        found[begin + n * (steps - begin) // spikes] = 5 * LEVEL
    return found


@cache
def run(seed: int, spikes: int, learned: int = LEARNED, clipped: float = 0.5) -> Trained:
    """One run, of whose gradients so large a share is clipped; made once, since spikes take time to find."""
    norms = [2.0 if step % 100 < 100 * clipped else 0.5 for step in range(STEPS)]
    return Trained("planted", seed, losses(spikes, learned=learned), norms, CHANCE, 1.0, STEPS)


def study(
    spikes: Mapping[str, int | Sequence[int]] | None = None,
    frozen: int = 0,
    branches: Mapping[str, int] | None = None,
    **fields: Mapping[str, object],
) -> Study:
    """A study whose runs of a cell have so many spikes in 1000 steps after learning, one number or one a seed.

    Cells that are not named have 20 with max, and 2 otherwise; `fields` are those of `run`, by cell.
    """
    counts: dict[str, int | Sequence[int]] = {c.name: 20 if c.schedule == "max" else 2 for c in CELLS}
    counts["matched, original"] = 18
    counts |= spikes or {}
    runs: dict[str, list[Trained]] = {}
    for cell, many in counts.items():
        # One seed differs from the next, or there would be nothing to take an interval over.
        each = many if not isinstance(many, int) else [max(0, many + (n % 2)) for n in SEEDS]
        changed = {name: by_cell[cell] for name, by_cell in fields.items() if cell in by_cell}
        runs[cell] = [run(seed, n, **changed) for seed, n in zip(SEEDS, each, strict=True)]  # pyright: ignore[reportArgumentType]
    kinds = {UNCHANGED: 4, RATE_OF_MIN: 0, BRANCH_FASTER: 4} | dict(branches or {})
    steps, since = 400, 200
    found = [
        Branch(kind, seed, stream, losses(many + seed % 2 if many else 0, steps, first=since + 20), since)
        for kind, many in kinds.items()
        for seed in SEEDS
        for stream in range(1)
    ]
    still = {f"{s}, original": [losses(frozen, 200, 0) for _ in SEEDS] for s in ("max", "min", "matched")}
    return Study(STEPS, runs, still, found)
