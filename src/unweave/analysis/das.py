"""Interchange interventions, and the search for the subspace in which a model holds a causal variable.

(Geiger et al., 2021, "Causal Abstractions of Neural Networks", arXiv:2106.02997; Geiger et al., 2023,
"Finding Alignments Between Interpretable Causal Variables and Distributed Neural Representations",
arXiv:2303.02536; Wu et al., 2024, pyvene, arXiv:2403.07809.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from unweave.analysis.rotation import fitted, hits, random_basis
from unweave.analysis.subspaces import patch_subspace
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, require_model
from unweave.engine.intervene import intervene
from unweave.engine.layout import Index
from unweave.engine.provenance import data_hash, weights_hash
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

__all__ = [
    "Alignment",
    "Pairs",
    "distributed_alignment_search",
    "draw_pairs",
    "interchange_accuracy",
    "patch_subspace",
    "untrained_twin",
]

# How much better than on held-out pairs the search may do on its own before the result warns.
GAP = 0.1


@dataclass(frozen=True, eq=False)
class Pairs:
    """Runs in pairs, and what must come out when the variable in `base` is what it is in `source`.

    Args:
        expected: a class `[sample]`, or a number where the model gives one.
    """

    base: Tensor
    source: Tensor
    expected: Tensor

    def __post_init__(self) -> None:
        if self.base.shape != self.source.shape or self.expected.shape != self.base.shape[:1]:
            raise InputError(
                wanted="base and source [sample, pos], and one expected output for each pair",
                got=f"{tuple(self.base.shape)}, {tuple(self.source.shape)}, {tuple(self.expected.shape)}",
                remedy="make them with draw_pairs",
            )


@dataclass(frozen=True, eq=False)
class Alignment:
    """What a search found.

    Args:
        result: on held-out pairs, 1 where the expected output came: by "run": "trained", "random rotation" (both the mean
            over seeds), "whole site", "no intervention" and, where it was asked for, "untrained twin".
        bases: for each seed the rows that span the subspace, `[rank, d]`: as `Site(direction=...)` takes them.
        losses: `[seed, step]`, of the search.
        on_own_pairs: accuracy on the pairs that were searched with, for "trained" and "untrained twin".
    """

    result: Result
    bases: tuple[Tensor, ...]
    losses: Float[Tensor, "seed step"]
    on_own_pairs: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        """Interchange accuracy of the subspace that was found, on held-out pairs."""
        return self.result.sel(run="trained").values.item()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before using it."""
        return self.result.warnings


def draw_pairs(
    tokens: Tensor,
    variable: Callable[[Tensor], Tensor],
    output: Callable[[Tensor, Tensor], Tensor],
    *,
    n: int = 256,
    seed: int = 0,
) -> tuple[Pairs, Pairs]:
    """Pairs to search with, and held-out ones of other sequences. Of each, half change the output if they can.

    Args:
        variable: the causal model's variable, a value for each sequence.
        output: what the causal model gives for sequences if the variable has these values.
        n: so many pairs of either kind.

    Raises:
        InputError: for fewer than four sequences, or if no pair changes the output.
    """
    order = torch.randperm(len(tokens), generator=seeds.generator(seed, "das", "split"))
    if len(tokens) < 4:
        raise InputError(wanted="at least four sequences", got=str(len(tokens)), remedy="pass more")
    parts = order.chunk(2)
    return (
        _drawn(tokens[parts[0]], variable, output, n, seeds.derive(seed, "searched")),
        _drawn(tokens[parts[1]], variable, output, n, seeds.derive(seed, "held out")),
    )


@torch.no_grad()
def interchange_accuracy(
    model: HookedTransformer, site: Site | None, pairs: Pairs, *, pos: Index = -1
) -> Float[Tensor, " sample"]:
    """1 for each pair whose expected output comes when the site is as in the source; None: with nothing done.

    Args:
        site: with `direction=`, only that subspace is interchanged.
        pos: the position at which the output is read.
    """
    if site is None:
        return hits(model(pairs.base), pairs.expected, pos)
    run = intervene(model, pairs.base, site.interchange(pairs.source), allow_equal=True)
    return hits(run.logits, pairs.expected, pos)


def untrained_twin(model: HookedTransformer, seed: int = 0) -> HookedTransformer:
    """A model of the same config with new weights."""
    cfg = dataclasses.replace(model.cfg, seed=seeds.derive(seed, "twin") % 2**31)
    return HookedTransformer(cfg, tokenizer=False)


def distributed_alignment_search(
    model: HookedTransformer,
    site: Site,
    searched: Pairs,
    held_out: Pairs,
    *,
    rank: int,
    pos: int = -1,
    steps: int = 200,
    learning_rate: float = 0.05,
    batch_size: int = 64,
    search_seeds: Sequence[int] = (0, 1, 2),
    twin: HookedTransformer | bool = True,
    progress: bool = False,
) -> Alignment:
    """The subspace whose interchange does what interchanging the variable does in the causal model.

    An orthonormal basis of `rank` directions is trained by gradient descent (AdamW; torch's orthogonal
    parametrisation) so that the expected output comes on `searched`. The model's weights stay as they are. It is
    judged on `held_out`, beside a random subspace of the same rank, the whole site, no intervention, and the
    same search in an untrained network.

    Args:
        site: one hook, and one head of it where it has heads; positions are those that are interchanged.
        rank: dimensions of the subspace.
        pos: the position at which the output is read.
        search_seeds: of the searches; each begins elsewhere and draws other batches.
        twin: an untrained network; True makes one, False leaves it out.
        progress: show a bar.

    Raises:
        InputError: for a site of several hooks, or a rank that it doesn't have room for.
    """
    model = require_model(model)
    _require(model, site, steps, search_seeds)
    twins = {True: untrained_twin(model), False: None}[twin] if isinstance(twin, bool) else twin
    rows: dict[str, Tensor] = {}
    own: dict[str, float] = {}
    losses: list[Tensor] = []
    bases: list[Tensor] = []
    runs = [("trained", model)] + ([] if twins is None else [("untrained twin", twins)])
    with tqdm(desc="alignment", total=len(runs) * len(search_seeds), disable=not progress) as bar:
        for name, network in runs:
            found: list[Tensor] = []
            for seed in search_seeds:
                basis, curve = fitted(
                    network, site, searched, rank, pos, steps, learning_rate, batch_size, seed
                )
                found.append(basis)
                if name == "trained":
                    losses.append(curve)
                    bases.append(basis)
                bar.update(1)
            rows[name] = _mean(network, site, found, held_out, pos)
            own[name] = _mean(network, site, found, searched, pos).mean().item()
    size = bases[0].shape[1]
    rows["random rotation"] = _mean(
        model, site, [random_basis(size, rank, seed).to(bases[0]) for seed in search_seeds], held_out, pos
    )
    rows["whole site"] = interchange_accuracy(model, site, held_out, pos=pos)
    rows["no intervention"] = interchange_accuracy(model, None, held_out, pos=pos)
    order = [
        name
        for name in ("trained", "random rotation", "whole site", "no intervention", "untrained twin")
        if name in rows
    ]
    per_sample = torch.stack([rows[name] for name in order]).cpu()
    facts: dict[str, Any] = {
        "metric": "interchange accuracy",
        "operation": f"interchange of {rank} dimensions",
        "method": f"DAS, {steps} steps of AdamW at {learning_rate:g}, batches of {batch_size}",
        "site": site.hooks(model)[0],
        "search seeds": list(search_seeds),
        "weights": weights_hash(model),
        "data": data_hash(Inputs(held_out.base)),
        "searched data": data_hash(Inputs(searched.base)),
        "dtype": str(model.W_E.dtype).removeprefix("torch."),
    }
    result = Result(
        per_sample.mean(-1),
        ("run",),
        {"run": tuple(order)},
        "part of pairs",
        per_sample,
        {"clean": rows["no intervention"].cpu()},
        facts,
        warnings=tuple(
            _warnings(dict(zip(order, per_sample.mean(-1).tolist(), strict=True)), own, searched, held_out)
        ),
    )
    return Alignment(result, tuple(bases), torch.stack(losses), own)


def _drawn(
    tokens: Tensor,
    variable: Callable[[Tensor], Tensor],
    output: Callable[[Tensor, Tensor], Tensor],
    n: int,
    seed: int,
) -> Pairs:
    base, source = torch.randint(0, len(tokens), (2, 16 * n), generator=seeds.generator(seed, "pairs"))
    expected = output(tokens[base], variable(tokens[source]))
    changes = expected != output(tokens[base], variable(tokens[base]))
    if not bool(changes.any()):
        raise InputError(
            wanted="sequences of which some change the output by their value of the variable",
            got="none that does",
            remedy="check variable and output, or pass other sequences",
        )
    changing, others = changes.nonzero()[:, 0], (~changes).nonzero()[:, 0]
    kept = torch.cat([changing[: max(n // 2, n - len(others))], others])[:n]
    kept = kept[torch.randperm(len(kept), generator=seeds.generator(seed, "order"))]
    return Pairs(tokens[base[kept]], tokens[source[kept]], expected[kept])


def _mean(
    model: HookedTransformer, site: Site, bases: Sequence[Tensor], pairs: Pairs, pos: int
) -> Float[Tensor, " sample"]:
    """Interchange accuracy pair by pair, the mean over bases."""
    found = [interchange_accuracy(model, site.at(direction=basis), pairs, pos=pos) for basis in bases]
    return torch.stack(found).mean(0)


def _require(model: HookedTransformer, site: Site, steps: int, search_seeds: Sequence[int]) -> None:
    names = site.hooks(model)
    if len(names) != 1 or site.direction is not None or steps < 1 or not search_seeds:
        raise InputError(
            wanted="a site of one hook without a direction, at least one step and one seed",
            got=f"{', '.join(names)}, {steps} steps, {len(search_seeds)} seeds",
            remedy='write Site("resid_post", layer=3, pos=-1)',
        )


def _warnings(
    found: Mapping[str, float], own: Mapping[str, float], searched: Pairs, held_out: Pairs
) -> Iterator[str]:
    if own["trained"] - found["trained"] > GAP:
        yield (
            f"the search reaches {own['trained']:.2f} on its own pairs and {found['trained']:.2f} on held-out ones: it fits "
            "its pairs"
        )
    if "untrained twin" not in found:
        yield "no untrained network was searched: nothing says how much the search finds by itself"
    elif (
        found["untrained twin"] - found["no intervention"]
        > 0.5 * (found["trained"] - found["no intervention"])
        > 0
    ):
        yield (
            f"the same search in an untrained network reaches {found['untrained twin']:.2f}: the accuracy may be the search's, "
            "and not the model's"
        )
    if found["trained"] > found["whole site"] + GAP:
        yield (
            f"the subspace does more ({found['trained']:.2f}) than the whole site ({found['whole site']:.2f}): either the site "
            "holds other variables as well, or the subspace moves a dormant direction; see patch_subspace"
        )
    seen = {tuple(row) for row in torch.cat([searched.base, searched.source], 1).tolist()}
    twice = sum(tuple(row) in seen for row in torch.cat([held_out.base, held_out.source], 1).tolist())
    if twice:
        yield f"{twice} of the held-out pairs were searched with too"
