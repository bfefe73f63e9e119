"""What a reader of edge scores must know: said by the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from unweave.analysis.edges.rewired import Rewired
from unweave.analysis.pitfalls import about_probability, about_zero, zero_is_far
from unweave.engine.baselines import SMALLEST_GAP
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import Operation, Zero

# What two measurements must differ by, as a part of the largest effect, to be told apart in words.
NOTABLE = 0.25
# How many of a kind are told one by one.
MOST = 5


def about_choices(
    work: Rewired, metric: Metric | Function, operation: Operation, source: Tensor | None
) -> list[str]:
    """Of the ablation and the metric that were chosen."""
    return [*_about_zero(work, operation), *about_probability(metric, "edges"), *_about_gap(work, source)]


def _about_zero(work: Rewired, operation: Operation) -> Iterable[str]:
    if isinstance(operation, Zero):
        far = zero_is_far(work.sent).nonzero().flatten().tolist()
        yield from about_zero([str(work.shape.senders[at]) for at in far])


def _about_gap(work: Rewired, source: Tensor | None) -> Iterable[str]:
    if source is None:
        return
    clean, cut = work.clean.double().mean(), source.double().mean()
    if not (clean - cut).abs() > SMALLEST_GAP * torch.maximum(clean.abs(), cut.abs()):
        yield (
            f"with every edge cut the metric is {cut.item():.4g}, and without {clean.item():.4g}: there is next to "
            "nothing for edges to explain, or the metric is saturated"
        )


def about_wholes(
    names: Sequence[str], singles: Sequence[Tensor], wholes: Sequence[Tensor], largest: float
) -> list[str]:
    """Where the edges of one receiver or sender do together what none of them does alone, or the reverse.

    Args:
        names: what they have in common, in words.
        singles: each one's effect alone, in every sample: `[edge, sample]`, or `[edge]`.
        wholes: the effect of all of them together: `[sample]`, or one number.
    """
    hidden: list[str] = []
    lost: list[str] = []
    for name, alone, together in zip(names, singles, wholes, strict=True):
        # In every sample for itself: across samples, effects of different signs are no sign of anything.
        most = mean_size(alone).max().item()
        whole = mean_size(together[None])[0].item()
        if whole - most > NOTABLE * largest and most < 0.5 * whole:
            hidden.append(
                f"edges {name} have an effect of {whole:.3g} together, and of at most {most:.3g} alone: they stand "
                "in for each other, or act only together, and patching one at a time misses them"
            )
        elif most - whole > NOTABLE * largest and whole < 0.5 * most:
            lost.append(
                f"edges {name} have effects of up to {most:.3g} alone, and of {whole:.3g} all together: they cancel, "
                "or something takes over when all are gone"
            )
    return [*_few(hidden), *_few(lost)]


def opposites(effects: Tensor, largest: float) -> list[tuple[int, int]]:
    """Pairs whose effects are of one size and of opposite signs in every sample, so that together they may have none."""
    sizes = mean_size(effects)
    notable = (sizes > 0.1 * largest).nonzero().flatten().tolist()
    return [
        (one, other)
        for at, one in enumerate(notable)
        for other in notable[at + 1 :]
        if mean_size((effects[one] + effects[other])[None])[0] < 0.1 * sizes[one]
    ]


def about_pairs(
    names: Sequence[Sequence[str]], alone: Sequence[Tensor], joint: Sequence[Tensor]
) -> list[str]:
    """Which of these pairs of edges do cancel: they have an effect each, and next to none together."""
    found: list[str] = []
    for pair, single, both in zip(names, alone, joint, strict=True):
        size = mean_size(single).min().item()
        whole = mean_size(both[None])[0].item()
        if whole < 0.1 * size:
            found.append(
                f"{pair[0]} and {pair[1]} have effects of about {size:.3g} alone, of opposite signs, and of "
                f"{whole:.3g} together: they cancel, and a circuit without both explains as much"
            )
    return _few(found)


def mean_size(effects: Tensor) -> Tensor:
    """Of each edge's effects `[edge, sample]` or `[edge]`, the mean absolute one."""
    return effects.abs().mean(-1) if effects.ndim == 2 else effects.abs()


def _few(texts: Sequence[str]) -> list[str]:
    more = len(texts) - MOST
    return [*texts[:MOST], *([f"so it is with {more} more"] if more > 0 else [])]
