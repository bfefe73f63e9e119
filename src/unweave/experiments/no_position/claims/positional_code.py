"""Claim 3: MLP 0 writes a positional code that layer 1's queries and keys need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.ablation import replaced_by
from unweave.analysis.positions import principal_components, switching_neurons
from unweave.analysis.probes import probe_r2
from unweave.analysis.routes import on_route
from unweave.core.claims import Check, Estimate, Finding, claim, judge
from unweave.core.hooks import HookFunction, HookPoint
from unweave.experiments.no_position.study import Study, averaged
from unweave.model.cache import ActivationCache

MLP_OUT = "blocks.0.hook_mlp_out"
PROBED = {"attn_out0": ("attn_out", 0), "post0": ("post", 0), "mlp_out0": ("mlp_out", 0)}
DRAWS = 5

Shift = Float[Tensor, "pos d_model"]


@claim(
    id="mlp-0-writes-positions",
    title="MLP 0 writes a positional code",
    statement="MLP 0 writes the position into the residual stream, and layer 1 reads it there for its queries and keys.",
    rivals=(
        "Layer 1 reads positions from attention's output directly; MLP 0 only handles tokens.",
        "Any change of that size to MLP 0's output would hurt as much.",
        "Position can be read off MLP 0's output, as it can in an untrained model, but nothing uses it.",
    ),
    prediction="Taking only the positional mean out of MLP 0's output (v − μ_i + μ̄) raises the loss by more than "
    "1 nat, both everywhere and on the routes into layer 1's queries and keys alone. The same code turned into "
    "random directions costs less than a quarter of that.",
    threshold="both rises > 1 nat; the turned code's rise < 0.25 of it on the same route",
    control=f"The table of positional means under a random rotation, so of equal norms and distances, {DRAWS} draws; for "
    "the record, an independent random direction of equal norm at each position; the untrained model for "
    "components and probes.",
    amended="The control was first declared as independent random directions, one a position. On the quick preset (seed 0) "
    "they cost 1.3 to 1.5 times as much as the removal: noise of that size sends attention to wrong places, where "
    "removal only flattens it. The rotation was then declared, unmeasured, with the same 0.25; the independent "
    "directions stay in the table.",
)
def mlp_0_writes_positions(study: Study) -> Finding:
    removal = removal_of_means(study.means[MLP_OUT])
    removed = {name: study.rise(study.outcome(hooks)) for name, hooks in _routes(study, removal).items()}
    turned = {name: _random(study, removal, name, rotated) for name in removed}
    scattered = {name: _random(study, removal, name, random_like) for name in removed}
    opposite = study.rise(study.outcome([(MLP_OUT, replaced_by(study.means[MLP_OUT]))]))
    ratios = {name: Estimate(turned[name].value / max(removed[name].value, 1e-9)) for name in removed}
    checks = (
        *(Check(f"rise, {name}", rise, above=1.0) for name, rise in removed.items()),
        *(Check(f"turned code over real, {name}", r, below=0.25, control=True) for name, r in ratios.items()),
    )
    verdict, reason = judge(checks)
    switching, dead = switching_neurons(study.cache["post", 0][:, 1:])
    return Finding(
        measured={
            **{f"rise, positional mean removed {name}": rise for name, rise in removed.items()},
            "rise, positional mean alone kept (tokens removed)": opposite,
            **_read_off("trained", study.cache),
            "neurons that switch with position": Estimate(float(switching)),
            "neurons that never fire": Estimate(float(dead)),
        },
        control={
            **{f"rise, turned code {name}": rise for name, rise in turned.items()},
            **{f"rise, independent random directions {name}": rise for name, rise in scattered.items()},
            **_read_off("untrained", study.untrained_cache),
        },
        verdict=verdict,
        reason=reason,
        checks=checks,
    )


def removal_of_means(means: Shift) -> Shift:
    """What to add at each position so that only the mean over positions is left; BOS is left alone."""
    shift = means[1:].mean(0) - means
    shift[0] = 0.0
    return shift


def rotated(shift: Shift, draw: torch.Generator) -> Shift:
    """The whole table turned by one random rotation (QR of a Gaussian matrix)."""
    gaussian = torch.randn(shift.shape[1], shift.shape[1], generator=draw, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return shift @ (q * r.diagonal().sign()).to(shift)


def random_like(shift: Shift, draw: torch.Generator) -> Shift:
    """An independent random direction at each position, as long as `shift` is there."""
    noise = torch.randn(shift.shape, generator=draw).to(shift)
    return noise / noise.norm(dim=-1, keepdim=True) * shift.norm(dim=-1, keepdim=True)


def _random(
    study: Study, removal: Shift, route: str, like: Callable[[Shift, torch.Generator], Shift]
) -> Estimate:
    draws = (like(removal, study.draw(like.__name__, n)) for n in range(DRAWS))
    return study.rise(averaged(study.outcome(_routes(study, shift)[route]) for shift in draws))


def _routes(study: Study, shift: Shift) -> dict[str, list[tuple[str, HookFunction]]]:
    def add(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return tensor + shift

    q, k = (on_route(study.model, 1, route, lambda x: x + shift) for route in ("q", "k"))
    return {"everywhere": [(MLP_OUT, add)], "for layer 1's queries and keys": [*q, *k]}


def _read_off(whose: str, cache: ActivationCache) -> dict[str, Estimate]:
    """What can be read off activations: correlational, and so no part of the verdict."""
    i = torch.arange(1, cache["mlp_out", 0].shape[1], dtype=torch.float64)
    rows: dict[str, Estimate] = {}
    for name, key in PROBED.items():
        x = cache[key][:, 1:]
        rows[f"{whose}: probe R2 of i, {name}"] = Estimate(probe_r2(x, i))
        rows[f"{whose}: probe R2 of 1/i, {name}"] = Estimate(probe_r2(x, 1.0 / i))
    found = principal_components(cache["mlp_out", 0][:, 1:].mean(0))
    rows[f"{whose}: variance of MLP 0's positional means in PC 1"] = Estimate(found.share[0].item())
    rows[f"{whose}: variance of MLP 0's positional means in PC 2"] = Estimate(found.share[1].item())
    rows[f"{whose}: correlation of PC 1 with position"] = Estimate(found.correlation)
    return rows
