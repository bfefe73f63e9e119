"""Steering: a direction from paired prompts, added to a run at chosen places, in rising doses.

(Turner et al., 2023, "Activation Addition", arXiv:2308.10248; Rimsky et al., 2023, "Steering Llama 2 via
Contrastive Activation Addition", arXiv:2312.06681.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.layout import STREAM, Index, Selection, dims_of
from unweave.engine.metrics import KL, Function, Loss, Metric
from unweave.engine.site import Intervention, Site
from unweave.engine.sweep import sweep
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

__all__ = ["Steering", "dose_response", "mean_difference"]

Direction = Float[Tensor, " d"] | Float[Tensor, "pos d"]

# Nats by which the loss on neutral tokens may rise before a result says that the model leaves its data.
TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class Steering:
    """What a direction does, dose by dose.

    Args:
        result: the metric, by "direction" ("steering", "random 0", ...) and "dose".
        damage: on neutral tokens, by "measure" ("KL" from the run without steering, and "loss" of the next token, in
            nats), "direction" and "dose"; None where no neutral tokens were given.
    """

    result: Result
    damage: Result | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before using it."""
        return self.result.warnings


@torch.no_grad()
def mean_difference(
    model: HookedTransformer,
    positive: Tensor | Inputs,
    negative: Tensor | Inputs,
    site: Site,
    *,
    per: str = "all",
) -> Direction:
    """The mean of what the site has in `positive`, less that in `negative`, pair by pair.

    Args:
        positive, negative: as many sequences each, the first of one beside the first of the other.
        site: one hook of the stream, or one head; its positions are those that are averaged.
        per: "all": one direction, the mean over positions too (padding left out); "position": one each,
            `[pos, d]`, for sequences of one length.

    Raises:
        InputError: for unpaired sequences, a site of several hooks or heads, or two means that are equal.
    """
    model = require_model(model)
    require_choice("per", per, ("all", "position"))
    pair = as_inputs(positive), as_inputs(negative)
    if len(pair[0].tokens) != len(pair[1].tokens):
        raise InputError(
            wanted="as many negative prompts as positive ones, in pairs",
            got=f"{len(pair[0].tokens)} and {len(pair[1].tokens)}",
            remedy="pair each with one that differs from it in what is meant alone",
        )
    name = _one_hook(model, site)
    means = [_mean(model, inputs, site, name, per) for inputs in pair]
    if means[0].shape != means[1].shape:
        raise InputError(
            wanted='prompts of one length, for per="position"',
            got=f"{len(means[0])} and {len(means[1])} positions",
            remedy='write per="all"',
        )
    difference = means[0] - means[1]
    if not bool(difference.abs().max() > 1e-9 * torch.maximum(means[0].abs().max(), means[1].abs().max())):
        raise InputError(
            wanted=f"prompts that differ at {name}",
            got="two equal means",
            remedy="name positions after those at which the prompts differ",
        )
    return difference


def dose_response(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    site: Site,
    direction: Direction,
    metric: Metric | Function,
    *,
    doses: Sequence[float] = (-2.0, -1.0, 0.0, 1.0, 2.0),
    neutral: Tensor | Inputs | None = None,
    neutral_pos: Index = None,
    draws: int = 4,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    **options: Any,
) -> Steering:
    """The metric with so many times the direction added, beside random directions of the same norm.

    Args:
        site: where it is added: one hook of the stream, or one head, at some positions or all.
        direction: `[d]`, or `[pos, d]` with one for each position of the site.
        doses: what it is multiplied by.
        neutral: tokens that have nothing to do with it: how much is broken is measured on these.
        neutral_pos: the positions at which it is measured, where a model has learned to predict; None is all.
        draws: random directions, each of the direction's norm (at each position).
        tolerance: nats by which the loss on neutral tokens may rise unmentioned.
        options: those of `sweep`, such as `attention_mask` (of `tokens`) or `memory`.

    Raises:
        InputError: for a direction that doesn't fit the site, or no doses.
    """
    model = require_model(model)
    if not doses or len(set(doses)) < len(doses) or direction.ndim not in (1, 2):
        raise InputError(
            wanted="a direction [d] or [pos, d], and doses, each once",
            got=f"shape {tuple(direction.shape)}, doses {tuple(doses)}",
            remedy="write doses=(0.0, 1.0, 2.0)",
        )
    _one_hook(model, site)
    directions = {"steering": direction, **_random(direction, draws, seed)}
    patches = {
        (name, dose): _added(site, vector, dose) for name, vector in directions.items() for dose in doses
    }

    def measured(run: Tensor | Inputs, what: Metric | Function, **more: Any) -> Result:
        given: dict[str, Any] = {"controls": 0, "allow_equal": True, "seed": seed, **more}
        found = sweep(model, run, list(patches.values()), metric=what, **given)
        return _by_dose(found, tuple(directions), tuple(doses), direction)

    result = measured(tokens, metric, **options)
    damage = (
        None
        if neutral is None
        else _together([measured(neutral, what) for what in (KL(neutral_pos), Loss(pos=neutral_pos))])
    )
    warnings = (*result.warnings, *_no_better(result), *_damaged(damage, tolerance))
    return Steering(dataclasses.replace(result, warnings=warnings), damage)


def _mean(model: HookedTransformer, inputs: Inputs, site: Site, name: str, per: str) -> Tensor:
    _, kept = model.run_with_cache(
        inputs.tokens, names_filter=[name], return_type=None, return_cache_object=False, **inputs.others
    )
    n_samples, n_pos = inputs.shape
    chosen = Selection(name, site.index, n_pos).get(kept[name], slice(None))
    chosen = chosen.squeeze(2) if chosen.ndim == 4 else chosen
    mask = torch.ones(n_samples, n_pos) if inputs.attention_mask is None else inputs.attention_mask
    where = Selection("hook_embed", {"pos": site.pos}, n_pos).get(mask[..., None], slice(None)).to(chosen)
    over = (0, 1) if per == "all" else (0,)
    return (chosen * where).sum(over) / where.sum(over).clamp_min(1)


def _one_hook(model: HookedTransformer, site: Site) -> str:
    names = site.hooks(model)
    per_head = len(names) == 1 and dims_of(names[0]) != STREAM
    if len(names) != 1 or (per_head and not isinstance(site.head, int)) or site.direction is not None:
        raise InputError(
            wanted="one hook of the residual stream (or one head's), without a direction of its own",
            got=", ".join(names),
            remedy='write Site("resid_post", layer=3), or Site("z", layer=3, head=1)',
        )
    return names[0]


def _random(direction: Direction, draws: int, seed: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for draw in range(draws):
        noise = torch.randn(
            direction.shape, generator=seeds.generator(seed, "steer", draw), dtype=torch.float64
        )
        noise = noise / noise.norm(dim=-1, keepdim=True)
        found[f"random {draw}"] = noise.to(direction) * direction.norm(dim=-1, keepdim=True)
    return found


def _added(site: Site, vector: Tensor, dose: float) -> Intervention:
    if vector.ndim == 1:
        return site.add(dose * vector)
    return site.add(dose * (vector[None] if site.head is None else vector[None, :, None]))


def _by_dose(found: Result, names: tuple[str, ...], doses: tuple[float, ...], direction: Tensor) -> Result:
    shape = (len(names), len(doses))
    told = {
        "operation": "steering",
        "norm of the direction": direction.norm(dim=-1).mean().item(),
        "doses": list(doses),
    }
    return dataclasses.replace(
        found,
        values=found.values.view(shape),
        dims=("direction", "dose"),
        coords={"direction": names, "dose": tuple(f"{dose:g}" for dose in doses)},
        per_sample=None if found.per_sample is None else found.per_sample.unflatten(0, shape),
        provenance={**found.provenance, **told},
    )


def _together(parts: Sequence[Result]) -> Result:
    """KL and loss, one above the other."""
    kl, loss = parts
    assert kl.per_sample is not None and loss.per_sample is not None
    return dataclasses.replace(
        loss,
        values=torch.stack([kl.values, loss.values]),
        dims=("measure", *kl.dims),
        coords={"measure": ("KL", "loss"), **kl.coords},
        per_sample=torch.stack([kl.per_sample, loss.per_sample]),
        baselines={"loss": loss.baselines["clean"]},
        provenance={**loss.provenance, "metric": "KL and loss on neutral tokens"},
    )


def _no_better(result: Result) -> Iterator[str]:
    """Doses at which a random direction of the same norm does as much."""
    size = result.effect.abs()
    if len(size) < 2:
        yield "no random direction was tried: draws=0"
        return
    weak = (size[0] <= size[1:].amax(0)) & (size.amax(0) > 0)
    doses = [
        str(label) for label, is_weak in zip(result.coords["dose"], weak.tolist(), strict=True) if is_weak
    ]
    if doses:
        yield f"at dose {', '.join(doses)} a random direction of the same norm changes the metric as much"


def _damaged(damage: Result | None, tolerance: float) -> Iterator[str]:
    if damage is None:
        yield "no neutral tokens were given: nothing says whether the model still works beside what is steered"
        return
    loss = damage.sel(measure="loss", direction="steering")
    rise = loss.values - damage.baselines["loss"].mean().to(loss.values)
    kl = damage.sel(measure="KL", direction="steering").values
    broken = [
        f"{dose} (loss {more:+.2g}, KL {away:.2g} nats)"
        for dose, more, away in zip(loss.coords["dose"], rise.tolist(), kl.tolist(), strict=True)
        # Written so that nan counts.
        if not more <= tolerance
    ]
    if broken:
        yield f"on neutral tokens the model leaves what it was made for at dose {', '.join(broken)}"
