"""What values are compared with: random changes of the same size, and the runs that bound them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result, t_quantile
from unweave.engine.edits import Edit, Patch

# A gap below this part of the values themselves is refused.
SMALLEST_GAP = 1e-3


def random_controls(patches: Sequence[Patch], draws: int, seed: int) -> list[Patch]:
    """Some of the patches, drawn at random, with a random change in place of theirs.

    Each entry of a site is changed by as much as the patch changes it (by the norm over its last
    dimension, in each sample, position and head), in a random direction.
    """
    # Nothing is known of how much a hook function changes.
    able = [patch for patch in patches if all(isinstance(edit, Edit) for edit in patch.edits)]
    order = torch.randperm(len(able), generator=seeds.generator(seed, "controls"))[:draws]
    return [_randomised(able[number], seeds.derive(seed, "control", number)) for number in order.tolist()]


def _randomised(patch: Patch, seed: int) -> Patch:
    edits = tuple(
        dataclasses.replace(edit, noise=seeds.derive(seed, number)) if isinstance(edit, Edit) else edit
        for number, edit in enumerate(patch.edits)
    )
    return Patch(edits, patch.n_layers)


def require_gap(baselines: Mapping[str, Tensor]) -> tuple[float, float]:
    """The means of the run without patches and of the source's, if they can be told apart.

    Raises:
        InputError: without a source that was run, or if the two are too close to normalise by.
    """
    if "source" not in baselines:
        raise InputError(
            wanted="source=, tokens of the same shape, to normalise by",
            got="none that was run",
            remedy="pass the tokens and not a cache, or leave normalise out",
        )
    clean, source = baselines["clean"].double(), baselines["source"].double()
    size = torch.maximum(source.abs().mean(), clean.abs().mean())
    # Written so that nan fails too.
    if not (source - clean).mean().abs() > SMALLEST_GAP * size:
        raise InputError(
            wanted=f"a metric that differs between run and source by more than {SMALLEST_GAP:g} of its size",
            got=f"{clean.mean().item():.6g} and {source.mean().item():.6g}",
            remedy="take inputs that the metric tells apart, or leave normalise out",
        )
    return clean.mean().item(), source.mean().item()


def normalised(result: Result) -> Result:
    """The result with 0 for the run without patches and 1 for the source's, by their means.

    Raises:
        InputError: as `require_gap`.
    """
    zero, one = require_gap(result.baselines)
    gap = one - zero

    def scaled(values: Tensor) -> Tensor:
        return (values - zero) / gap

    return dataclasses.replace(
        result,
        values=scaled(result.values),
        per_sample=None if result.per_sample is None else scaled(result.per_sample),
        baselines={name: scaled(values) for name, values in result.baselines.items()},
        unit="0 is the run without patches, 1 the source",
        provenance={**result.provenance, "normalised by": [zero, one]},
        rechecks=tuple(
            dataclasses.replace(check, approximate=check.approximate / gap, exact=check.exact / gap)
            for check in result.rechecks
        ),
        warnings=(*result.warnings, *about_gap(result.baselines["source"] - result.baselines["clean"])),
    )


def about_gap(gaps: Tensor) -> tuple[str, ...]:
    """A warning if the gap's own 95% interval holds 0."""
    if gaps.ndim == 0 or len(gaps) < 2:
        return ()
    half = t_quantile(len(gaps) - 1) * gaps.double().std().item() / len(gaps) ** 0.5
    mean = gaps.double().mean().item()
    if abs(mean) > half:
        return ()
    return (f"the gap that values are normalised by is {mean:.3g} ± {half:.3g}: its interval holds 0",)
