"""The five norms: worked by hand, at their hooks, fused and step by step, in 16 bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_config, small_model, small_tokens
from unweave.core.hooks import HookPoint
from unweave.model.norm import LayerNorm, LayerNormPre, NoNorm, Norm, RMSNorm, RMSNormPre, make_norm

KINDS: dict[str, type[Norm]] = {
    "LN": LayerNorm,
    "LNPre": LayerNormPre,
    "RMS": RMSNorm,
    "RMSPre": RMSNormPre,
}
WATCHED = [(), ("hook_scale",), ("hook_normalized",), ("hook_scale", "hook_normalized")]

# (3, 1) with eps 3: centred (1, -1), of mean square 1, over sqrt(1 + 3). With eps 4 and not
# centred: of mean square 5, over sqrt(5 + 4). Then times (4, 10), and plus (0, 1) under LN.
BY_HAND = {
    "LN": (3.0, 2.0, (0.5, -0.5), (2.0, -4.0)),
    "LNPre": (3.0, 2.0, (0.5, -0.5), (0.5, -0.5)),
    "RMS": (4.0, 3.0, (1.0, 1 / 3), (4.0, 10 / 3)),
    "RMSPre": (4.0, 3.0, (1.0, 1 / 3), (1.0, 1 / 3)),
}


def keep(norm: Norm, sites: tuple[str, ...]) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    for site in sites:

        def read(tensor: Tensor, hook: HookPoint, site: str = site) -> None:
            kept[site] = tensor

        getattr(norm, site).add_hook(read, edits=False)
    return kept


def random_norm(kind: str, dtype: torch.dtype = torch.float64, **fields: object) -> tuple[Norm, Tensor]:
    draw = torch.Generator().manual_seed(0)
    norm = KINDS[kind](small_config(**fields)).to(dtype)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter += torch.randn(parameter.shape, generator=draw).to(dtype)
    return norm, (3 * torch.randn(3, 5, 8, generator=draw) + 1).to(dtype)


@pytest.mark.parametrize("sites", WATCHED)
@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(kind: str, sites: tuple[str, ...]):
    eps, scale, normalized, output = BY_HAND[kind]
    norm = KINDS[kind](small_config(d_model=2, d_head=2, eps=eps)).double()
    if norm.w is not None:
        norm.w.data = torch.tensor([4.0, 10.0], dtype=torch.float64)
    if norm.b is not None:
        norm.b.data = torch.tensor([0.0, 1.0], dtype=torch.float64)
    kept = keep(norm, sites)
    got = norm(torch.tensor([[[3.0, 1.0]]], dtype=torch.float64))
    assert got[0, 0].tolist() == pytest.approx(output)
    wanted = {"hook_scale": [scale], "hook_normalized": list(normalized)}
    assert set(kept) == set(sites)
    for site, tensor in kept.items():
        assert tensor.shape[:2] == (1, 1)
        assert tensor[0, 0].tolist() == pytest.approx(wanted[site])


def test_the_config_names_the_layer_and_which_weights_it_has():
    for kind, layer in KINDS.items():
        norm = make_norm(small_config(normalization_type=kind))
        assert type(norm) is layer
        names = {"LN": ["w", "b"], "RMS": ["w"]}.get(kind, [])
        assert [name for name, _ in norm.named_parameters()] == list(norm.state_dict()) == names
    none = make_norm(small_config(normalization_type=None))
    assert type(none) is NoNorm
    x = torch.ones(1, 2, 8)
    assert none(x) is none.quiet(x) is x


def test_the_length_may_be_another_and_there_may_be_a_head_dimension():
    norm = RMSNorm(small_config(), length=4)
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert norm.w.shape == (4,)
    wanted = x / (x.square().sum(-1, keepdim=True) / 4 + 1e-5).sqrt()
    assert_equal_to(1e-6, norm(x), wanted)


@pytest.mark.parametrize(("dtype", "part"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("sites", WATCHED[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_watched_or_not_it_is_one_function_gradients_too(
    kind: str, sites: tuple[str, ...], dtype: torch.dtype, part: float
):
    results: list[list[Tensor]] = []
    for watched in ((), sites):
        norm, x = random_norm(kind, dtype)
        x.requires_grad_()
        keep(norm, watched)
        output = norm(x)
        leaves = [x, *norm.parameters()]
        # Each norm fixes the output's mean square, so only a direction of its own has a gradient.
        direction = torch.linspace(-1, 2, 8, dtype=dtype).square()
        results.append([output, *torch.autograd.grad((output * direction).sum(), leaves)])
    for fused, stepwise in zip(*results, strict=True):
        assert_equal_to(part, stepwise, fused)


@pytest.mark.parametrize("kind", KINDS)
def test_unwatched_it_is_one_kernel(kind: str, monkeypatch: pytest.MonkeyPatch):
    norm, x = random_norm(kind)
    monkeypatch.setattr(Tensor, "pow", lambda *_: pytest.fail("step by step"))
    norm(x)
    norm.hook_normalized.add_hook(lambda tensor, hook: None)
    norm(x)


@pytest.mark.parametrize("kind", KINDS)
def test_edits_count_before_the_weights(kind: str):
    norm, x = random_norm(kind)
    clean = norm(x)
    w = 1.0 if norm.w is None else norm.w
    b = 0.0 if norm.b is None else norm.b
    hook = norm.hook_scale.add_hook(lambda scale, hook: 2 * scale)
    assert_equal_to(1e-12, norm(x), (clean - b) / 2 + b)
    hook.remove()
    norm.hook_normalized.add_hook(lambda normalized, hook: torch.ones_like(normalized))
    assert_equal_to(1e-12, norm(x), (torch.ones_like(x) * w + b))


@pytest.mark.parametrize("sites", WATCHED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_in_16_bits_the_inside_is_float32_and_the_weights_are_not(
    kind: str, dtype: torch.dtype, sites: tuple[str, ...]
):
    norm, x = random_norm(kind, dtype)
    kept = keep(norm, sites)
    got = norm(x)
    assert got.dtype == dtype
    assert all(tensor.dtype == torch.float32 for tensor in kept.values())
    # Rounded where the definition says: after the division, after the product, after the sum.
    inside = x.double()
    inside = inside - inside.mean(-1, keepdim=True) if kind.startswith("LN") else inside
    wanted = (inside / (inside.square().mean(-1, keepdim=True) + norm.eps).sqrt()).to(dtype)
    wanted = wanted if norm.w is None else wanted * norm.w
    wanted = wanted if norm.b is None else wanted + norm.b
    # An input on the edge between two 16-bit numbers may still fall to either side.
    assert (got == wanted).float().mean() > 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_input_in_16_bits_does_not_overflow(kind: str):
    norm = KINDS[kind](small_config()).half()
    x = torch.tensor([6e4, -6e4] * 4, dtype=torch.float16)[None, None]
    assert_equal_to(1e-3, norm(x), x / 6e4)


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_each_kind_run_cached_as_plain(kind: str):
    model, tokens = small_model(normalization_type=kind, dtype="bfloat16"), small_tokens()
    logits, cache = model.run_with_cache(tokens)
    assert cache["scale", 0, "ln1"].dtype == cache["normalized"].dtype == torch.float32
    assert cache["scale"].shape == (3, 7, 1)
    assert_equal_to(2e-2, logits, model(tokens))
