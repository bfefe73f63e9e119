"""Edits on one route, against a computation by hand with the norm recomputed."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from tests.analysis.models import assert_equal, no_hooks_left, random_model, random_tokens
from unweave.analysis.norms import quiet_norm
from unweave.analysis.routes import Route, on_route
from unweave.core.errors import InputError
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

ROUTES: tuple[Route, ...] = ("q", "k", "v")
SHIFT = torch.randn(6, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def clean_and_edited(model: HookedTransformer, *hooks: object) -> tuple[ActivationCache, ActivationCache]:
    tokens = random_tokens()
    _, clean = model.run_with_cache(tokens)
    with model.hooks(fwd_hooks=hooks):
        _, edited = model.run_with_cache(tokens)
    assert no_hooks_left(model)
    return clean, edited


def by_hand(model: HookedTransformer, layer: int, route: str, x: Tensor) -> Tensor:
    block = model.blocks[layer]
    norm = model.cfg.normalization_type or ""
    if norm.startswith("LN"):
        x = x - x.mean(-1, keepdim=True)
    if norm:
        x = x / (x.square().mean(-1, keepdim=True) + model.cfg.eps).sqrt()
    if norm in ("LN", "RMS"):
        x = x * block.ln1.w
    if norm == "LN":
        x = x + block.ln1.b
    weight, bias = (getattr(block.attn, f"{kind}_{route.upper()}") for kind in "Wb")
    return torch.stack([x @ weight[head] + bias[head] for head in range(2)], dim=2)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("norm", ["LN", "LNPre", "RMS", "RMSPre", None])
def test_only_the_edited_route_changes_and_as_computed_by_hand(route: Route, layer: int, norm: str | None):
    model = random_model(normalization_type=norm)
    hooks = on_route(model, layer, route, lambda x: 2.0 * x + SHIFT)
    clean, edited = clean_and_edited(model, *hooks)
    wanted = by_hand(model, layer, route, 2.0 * clean["resid_pre", layer] + SHIFT)
    assert_equal(edited[route, layer], wanted)
    assert (edited[route, layer] - clean[route, layer]).abs().max() > 0.1
    for other in {*ROUTES} - {route}:
        assert (edited[other, layer] == clean[other, layer]).all()
    assert (edited["resid_pre", layer] == clean["resid_pre", layer]).all()
    if norm:
        assert (edited["normalized", layer, "ln1"] == clean["normalized", layer, "ln1"]).all()
    assert_equal(edited["resid_mid", layer], clean["resid_pre", layer] + edited["attn_out", layer])
    assert (edited["attn_out", layer] - clean["attn_out", layer]).abs().max() > 1e-3


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_identity_changes_nothing(route: Route, dtype: str):
    model = random_model(dtype=dtype)
    tokens = random_tokens()
    wanted = model(tokens)
    assert_equal(model.run_with_hooks(tokens, fwd_hooks=on_route(model, 1, route, lambda x: x)), wanted, 1e-6)


def test_an_edit_in_place_stays_on_its_route():
    model = random_model()

    def shift(x: Tensor) -> Tensor:
        x += SHIFT
        return x

    clean, edited = clean_and_edited(model, *on_route(model, 1, "q", shift), *on_route(model, 1, "k", shift))
    shifted = clean["resid_pre", 1] + SHIFT
    assert_equal(edited["q", 1], by_hand(model, 1, "q", shifted))
    assert_equal(edited["k", 1], by_hand(model, 1, "k", shifted))
    assert (edited["v", 1] == clean["v", 1]).all()
    assert_equal(edited["resid_mid", 1], clean["resid_pre", 1] + edited["attn_out", 1])


def test_routes_together_each_with_its_own_edit():
    model = random_model()
    hooks = [
        hook
        for n, route in enumerate(ROUTES)
        for hook in on_route(model, 1, route, lambda x, n=n: x + n * SHIFT)
    ]
    clean, edited = clean_and_edited(model, *hooks)
    for n, route in enumerate(ROUTES):
        assert_equal(edited[route, 1], by_hand(model, 1, route, clean["resid_pre", 1] + n * SHIFT))


def test_the_route_starts_from_what_earlier_hooks_left():
    model = random_model()
    double = ("blocks.1.hook_resid_pre", lambda x, hook: 2 * x)
    clean, edited = clean_and_edited(model, double, *on_route(model, 1, "q", lambda x: x + SHIFT))
    assert_equal(edited["q", 1], by_hand(model, 1, "q", 2 * clean["resid_pre", 1] + SHIFT))


def test_the_same_hooks_serve_several_runs():
    model = random_model()
    batches = random_tokens(seed=1), random_tokens(batch=2, seed=2)
    hooks = on_route(model, 1, "k", lambda x: x + SHIFT)
    alone = [model.run_with_hooks(tokens, fwd_hooks=hooks) for tokens in batches]
    with model.hooks(fwd_hooks=hooks):
        together = [model(tokens) for tokens in batches]
    for a, b in zip(together, alone, strict=True):
        assert_equal(a, b)


def test_another_route_is_refused():
    # Unwrapped: the tests' own type check would refuse it first.
    with pytest.raises(InputError, match=r"wanted a route into attention; got 'z'; write 'q', 'k' or 'v'"):
        inspect.unwrap(on_route)(random_model(), 1, "z", lambda x: x)


@pytest.mark.parametrize("norm", ["LN", "LNPre", "RMS", "RMSPre"])
def test_quiet_norm_runs_no_hooks(norm: str):
    model = random_model(normalization_type=norm)
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    wanted = model.ln_final(x)
    fired: list[str] = []
    with model.recording(["ln_final.hook_scale", "ln_final.hook_normalized"]) as kept:
        assert_equal(quiet_norm(model.ln_final, x), wanted)
        fired.extend(kept)
    assert not fired
    assert quiet_norm(random_model(normalization_type=None).ln_final, x) is x
