"""Where units of a site are most active over a dataset, beside examples that were not chosen for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from unweave.analysis.requirements import require_whole
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.layout import SCORES, dims_of
from unweave.engine.provenance import weights_hash
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

QUANTILES = (0.5, 0.75, 0.9, 0.99)
NONE = -1


@dataclass(frozen=True, eq=False)
class Examples:
    """Activations, and the tokens around them.

    Args:
        result: the activations, dimensions "unit" and "example": "top 1", …, "random 1", …, "quantile 0.5", ….
        windows: `[unit, example, window]`, the tokens from `before` positions before to `after` after; -1 where the
            sequence has none.
        samples, positions: `[unit, example]`, where that is, counting sequences in the order they came.
        before: where the active token stands in its window.
    """

    result: Result
    windows: Int[Tensor, "unit example window"]
    samples: Int[Tensor, "unit example"]
    positions: Int[Tensor, "unit example"]
    before: int


@torch.no_grad()
def max_activating(
    model: HookedTransformer,
    batches: Tensor | Inputs | Iterable[Tensor | Inputs],
    site: Site,
    *,
    units: list[int] | None = None,
    feature: Callable[[Tensor], Tensor] | None = None,
    k: int = 10,
    context: tuple[int, int] = (8, 2),
    n_random: int = 5,
    reservoir: int = 1000,
    skip_first: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Examples:
    """The k sequences in which each unit is most active, and where; with random examples and quantiles as controls.

    One pass over the data. What is kept is k windows a unit, and `reservoir` positions drawn evenly from all of
    them, the same for every unit: memory doesn't grow with the data. Each sequence counts once, with its largest
    activation, so that one text can't fill the list.

    Args:
        batches: tokens, or any number of batches of them; each may be `Inputs` with a mask.
        site: in one layer. Units are neurons (the last dimension); at a site with heads they are heads, and a
            head's activation is the norm of its vector: take "result", whose norm no basis changes.
        units: some of them; None is all.
        feature: from what the site holds `[sample, pos, d]` to units `[sample, pos, unit]`, such as the encoder of
            a sparse autoencoder, or `lambda x: (x @ direction)[..., None]`.
        context: how many tokens before and after to keep.
        n_random: positions drawn at random, as a control.
        reservoir: from how many positions quantiles are estimated.
        skip_first: leave so many positions at the beginning out; the first often is extreme in every sequence.

    Raises:
        InputError: for a site in several layers, patterns, no data, or a feature of another shape.
    """
    model = require_model(model)
    for name, value, least in (
        ("k", k, 1),
        ("n_random", n_random, 0),
        ("reservoir", reservoir, max(n_random, 1)),
    ):
        require_whole(name, value, least)
    names = site.hooks(model)
    if len(names) != 1 or dims_of(names[0]) in (None, SCORES):
        raise InputError(
            wanted="a site in one layer that holds a vector for each position",
            got=", ".join(names),
            remedy="name one",
        )
    given = [batches] if isinstance(batches, Tensor | Inputs) else batches
    draw, before, span = seeds.generator(seed, "examples"), context[0], sum(context) + 1
    top: _Kept | None = None
    drawn: _Kept | None = None
    keys = torch.empty(0, dtype=torch.float64)
    n_samples = n_positions = 0
    for batch in tqdm(given, desc="examples", unit="batch", disable=not progress):
        inputs = as_inputs(batch)
        active = _activations(model, inputs, names[0], feature, units)
        n, n_pos, n_units = active.shape
        counted = torch.ones(n, n_pos, dtype=torch.bool)
        counted = counted if inputs.attention_mask is None else inputs.attention_mask.cpu().bool()
        counted = counted & (torch.arange(n_pos) >= skip_first)
        tokens = _padded(inputs, context)
        # The best position of each sequence, for each unit.
        best, at = active.masked_fill(~counted[..., None], -torch.inf).max(1)
        rows = torch.arange(n)[:, None].expand(n, n_units)
        top = _Kept.of(best.mT, rows.mT, at.mT, n_samples).and_(top).best(k, tokens, span, n_samples)
        where, pos = torch.where(counted)
        # Each position draws a number, and the smallest stay: a sample without regard to what came when.
        keys = torch.cat([keys, torch.rand(len(where), generator=draw, dtype=torch.float64)])
        fresh = _Kept.of(active[where, pos].mT, where.expand(n_units, -1), pos.expand(n_units, -1), n_samples)
        drawn = fresh.and_(drawn, first=True)
        kept = keys.argsort()[:reservoir]
        keys, drawn = keys[kept], drawn.picked(kept.expand(n_units, -1), tokens, span, n_samples)
        n_samples, n_positions = n_samples + n, n_positions + len(where)
    if top is None or drawn is None or n_positions == 0:
        raise InputError(wanted="tokens to look through", got="none", remedy="pass at least one batch")
    return _examples(model, top, drawn, n_random, before, names[0], units, n_samples, n_positions, seed, draw)


@dataclass(frozen=True, eq=False)
class _Kept:
    """Candidates of each unit, `[unit, n]`; those of the batch at hand have no window yet."""

    value: Tensor
    sample: Tensor
    position: Tensor
    window: Tensor | None = None

    @classmethod
    def of(cls, value: Tensor, row: Tensor, position: Tensor, start: int) -> _Kept:
        return cls(value, row + start, position)

    def and_(self, other: _Kept | None, first: bool = False) -> _Kept:
        """Both; `other`, which has windows, stands last, or first."""
        if other is None:
            return self
        pair = (other, self) if first else (self, other)
        value, sample, position = (
            torch.cat([getattr(one, name) for one in pair], 1) for name in ("value", "sample", "position")
        )
        return _Kept(value, sample, position, other.window)

    def best(self, k: int, tokens: Tensor, span: int, start: int) -> _Kept:
        """The k of the greatest value."""
        order = self.value.argsort(dim=1, descending=True, stable=True)[:, :k]
        return self.picked(order, tokens, span, start, last=True)

    def picked(self, order: Tensor, tokens: Tensor, span: int, start: int, last: bool = False) -> _Kept:
        """Those of these numbers, with their windows."""
        value, sample, position = (t.gather(1, order) for t in (self.value, self.sample, self.position))
        fresh = sample >= start
        row, offset = (sample - start).clamp_min(0), torch.arange(span)
        window = tokens[row[..., None], torch.where(fresh, position, 0)[..., None] + offset]
        if self.window is not None:
            old, total = self.window.shape[1], self.value.shape[1]
            number = order - (total - old if last else 0)
            earlier = self.window.gather(1, number.clamp(0, old - 1)[..., None].expand(*order.shape, span))
            window = torch.where(fresh[..., None], window, earlier)
        return _Kept(value, sample, position, window)


def _activations(
    model: HookedTransformer,
    inputs: Inputs,
    name: str,
    feature: Callable[[Tensor], Tensor] | None,
    units: list[int] | None,
) -> Float[Tensor, "sample pos unit"]:
    _, cache = model.run_with_cache(
        inputs.tokens,
        names_filter=name,
        return_type="logits" if name.startswith("unembed.") else None,
        return_cache_object=False,
        **inputs.others,
    )
    held = cache[name]
    active = held if feature is None else feature(held)
    active = active.norm(dim=-1) if active.ndim == 4 else active
    if active.ndim != 3 or active.shape[:2] != held.shape[:2]:
        raise InputError(
            wanted=f"[{held.shape[0]}, {held.shape[1]}, unit] from the feature",
            got=str(tuple(active.shape)),
            remedy="return one number a position and unit",
        )
    active = active if units is None else active[..., units]
    return active.detach().float().cpu()


def _padded(inputs: Inputs, context: tuple[int, int]) -> Tensor:
    tokens = inputs.tokens.cpu()
    if inputs.attention_mask is not None:
        tokens = tokens.masked_fill(~inputs.attention_mask.cpu().bool(), NONE)
    return torch.nn.functional.pad(tokens, context, value=NONE)


def _examples(
    model: HookedTransformer,
    top: _Kept,
    drawn: _Kept,
    n_random: int,
    before: int,
    name: str,
    units: list[int] | None,
    n_samples: int,
    n_positions: int,
    seed: int,
    draw: torch.Generator,
) -> Examples:
    n_units, size = drawn.value.shape
    some = torch.randperm(size, generator=draw)[:n_random].expand(n_units, -1)
    ordered = drawn.value.argsort(1)
    at = [min(int(q * size), size - 1) for q in QUANTILES]
    chosen = torch.cat([some, ordered[:, at]], 1)
    assert top.window is not None and drawn.window is not None
    windows = drawn.window.gather(1, chosen[..., None].expand(*chosen.shape, drawn.window.shape[2]))
    values = torch.cat([top.value, drawn.value.gather(1, chosen)], 1)
    numbers = tuple(range(n_units)) if units is None else tuple(units)
    labels = (
        *(f"top {n + 1}" for n in range(top.value.shape[1])),
        *(f"random {n + 1}" for n in range(some.shape[1])),
        *(f"quantile {q}" for q in QUANTILES),
    )
    positions = torch.cat([top.position, drawn.position.gather(1, chosen)], 1)
    result = Result(
        values,
        ("unit", "example"),
        {"unit": numbers, "example": labels},
        "activation",
        provenance={
            "metric": "activation",
            "values": "activations",
            "operation": "max-activating examples",
            "site": name,
            "weights": weights_hash(model),
            "samples": n_samples,
            "positions": n_positions,
            "quantiles from": size,
            "seed": seed,
        },
        warnings=tuple(_said(top, drawn, numbers, n_samples)),
    )
    return Examples(
        result,
        torch.cat([top.window, windows], 1),
        torch.cat([top.sample, drawn.sample.gather(1, chosen)], 1),
        positions,
        before,
    )


def _said(top: _Kept, drawn: _Kept, numbers: tuple[int, ...], n_samples: int) -> Iterable[str]:
    if top.value.shape[1] >= n_samples:
        yield f"{n_samples} sequences: the list of the most active ones holds them all"
    dead = [unit for unit, value in zip(numbers, top.value[:, 0].tolist(), strict=True) if value <= 0.0]
    if dead:
        yield f"{len(dead)} units are never above 0 in these data, such as {dead[:5]}"
    first = [
        unit for unit, at in zip(numbers, top.position, strict=True) if (at == 0).double().mean().item() > 0.5
    ]
    if first:
        yield (
            f"{len(first)} units are most active at the first position, such as {first[:5]}: it is extreme in every "
            "sequence; skip_first=1 leaves it out"
        )
    common = (drawn.value > 0.5 * top.value[:, :1]).double().mean(1) > 0.1
    wide = [unit for unit, is_common in zip(numbers, common.tolist(), strict=True) if is_common]
    if wide:
        yield (
            f"{len(wide)} units are above half of their maximum at more than a tenth of random positions, such as "
            f"{wide[:5]}: their top examples say little; look at the quantiles"
        )
