"""Logits split by component: a model worked by hand, and runs of the model with a part taken out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.models import VOCAB, assert_equal, put, random_model, random_tokens
from unweave.analysis.attribution import components, logit_attribution, removal_effect
from unweave.analysis.offsets import offset_write
from unweave.core.errors import InputError
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

TOKENS = random_tokens()
CONTRAST = torch.randn(4, 6, VOCAB, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SHAPES: list[dict[str, Any]] = [
    {},
    {"normalization_type": None},
    {"normalization_type": "LNPre"},
    {"normalization_type": "RMS"},
    {"normalization_type": "RMSPre", "attn_only": True},
    {"positional_embedding_type": "standard"},
    {"positional_embedding_type": "sinusoidal", "attn_only": True},
    {"n_layers": 1, "normalization_type": None, "positional_embedding_type": "standard"},
]


def cached(model: HookedTransformer) -> ActivationCache:
    return model.run_with_cache(TOKENS)[1]


def by_hand(norm: str | None) -> HookedTransformer:
    """One attention layer with equal scores, in two dimensions."""
    fields = {
        "n_layers": 1,
        "d_model": 2,
        "d_head": 2,
        "n_heads": 1,
        "d_vocab": 3,
        "n_ctx": 2,
        "attn_only": True,
    }
    model = random_model(normalization_type=norm, **fields)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    put(
        model,
        embed__W_E=[[1, 0], [0, 2], [0, 0]],
        blocks__0__attn__W_V=torch.eye(2)[None],
        blocks__0__attn__W_O=2 * torch.eye(2)[None],
        blocks__0__attn__b_O=[0.5, 0],
        unembed__W_U=[[1, 0, -1], [0, 1, 1]],
        unembed__b_U=[0.1, 0.2, 0.3],
    )
    if norm:
        # The layer's own norm makes ±(1, -1) of (1, 0) and (0, 2); its weight and bias give them back.
        put(model, blocks__0__ln1__w=[0.5, -1.0], blocks__0__ln1__b=[0.5, 1.0])
        put(model, ln_final__w=[2, 3], ln_final__b=[0.5, -1])
    return model


def rows_by_hand(norm: str | None) -> dict[str, float]:
    """Token 0's logit less token 1's, at position 1 of the sequence 0, 1."""
    model = by_hand(norm)
    _, cache = model.run_with_cache(torch.tensor([[0, 1]]))
    contrast = torch.tensor([1.0, -1.0, 0.0]).expand(1, 2, 3)
    return {name: row[0, 1].item() for name, row in logit_attribution(model, cache, contrast).items()}


def test_rows_by_hand_without_a_norm():
    # The residual is (0, 2) + 2 · ((1, 0) + (0, 2)) / 2 + (0.5, 0); the direction is (1, -1).
    wanted = {"embed": -2.0, "attn0": 1.0 - 2.0, "attn0.b_V": 0.0, "attn0.b_O": 0.5, "b_U": 0.1 - 0.2}
    assert rows_by_hand(None) == pytest.approx(wanted)


def test_rows_by_hand_with_a_norm():
    # Attention reads (0.5 + 0.5, 1 - 1) and (0.5 - 0.5, 1 + 1): (1, 0) and (0, 2) as above, but for eps.
    # (1.5, 4) centred is (-1.25, 1.25), so the scale is 1.25. A part (a, b) centred is (a - b)/2 times
    # (1, -1); times (2, 3), over the scale, and along the direction (1, -1): 5 (a - b) / 2 / 1.25.
    wanted = {
        "embed": 2.0 * (0.0 - 2.0),
        "attn0": 2.0 * (1.0 - 2.0),
        "attn0.b_V": 0.0,
        "attn0.b_O": 2.0 * 0.5,
        "ln_final.b": 0.5 + 1.0,
        "b_U": 0.1 - 0.2,
    }
    assert rows_by_hand("LN") == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("fields", SHAPES)
def test_components_are_the_writes_and_the_biases(fields: dict[str, Any]):
    model = random_model(**fields)
    cache = cached(model)
    parts = components(model, cache)
    names = ["embed"]
    names += ["pos_embed"] if "positional_embedding_type" in fields else []
    for layer in range(model.cfg.n_layers):
        names += [f"attn{layer}", f"attn{layer}.b_V", f"attn{layer}.b_O"]
        names += [] if model.cfg.attn_only else [f"mlp{layer}", f"mlp{layer}.b_out"]
    assert list(parts) == names
    assert_equal(sum(parts.values()), cache["resid_post", -1])
    # Attention sums to one, so what the value bias adds is the same everywhere.
    assert model.b_V[0].abs().max() > 0.1
    without_bias = cache["z", 0] - model.b_V[0]
    assert_equal(parts["attn0"], torch.einsum("bphe,hed->bpd", without_bias, model.W_O[0]))
    assert_equal(parts["attn0.b_V"][0, 0], torch.einsum("he,hed->d", model.b_V[0], model.W_O[0]))
    assert (parts["attn0.b_O"] == model.b_O[0]).all()
    if not model.cfg.attn_only:
        assert_equal(parts["mlp0"], cache["post", 0] @ model.W_out[0])
        assert (parts["mlp0.b_out"] == model.b_out[0]).all()
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("fields", SHAPES)
@pytest.mark.parametrize(("dtype", "part"), [("float64", 1e-10), ("float32", 1e-5)])
def test_rows_sum_to_the_contrast_of_the_logits(fields: dict[str, Any], dtype: str, part: float):
    model = random_model(**fields, dtype=dtype)
    logits, cache = model.run_with_cache(TOKENS)
    rows = logit_attribution(model, cache, CONTRAST.float())
    wanted = (logits.double() * CONTRAST.float().double()).sum(-1)
    assert_equal(sum(rows.values()).double(), wanted, part)
    assert ("ln_final.b" in rows) == (model.cfg.normalization_type == "LN")


def frozen(scale: Tensor):
    return lambda tensor, hook: scale.clone()


@pytest.mark.parametrize("fields", SHAPES)
def test_each_row_is_what_the_model_loses_without_the_part(fields: dict[str, Any]):
    """The model itself, run with the part taken out at the end and its final scale kept."""
    model = random_model(**fields)
    logits, cache = model.run_with_cache(TOKENS)
    rows = logit_attribution(model, cache, CONTRAST)
    last = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    for name, part in components(model, cache).items():
        hooks = [(last, lambda x, hook, part=part: x - part)]
        if model.cfg.normalization_type:
            hooks.append(("ln_final.hook_scale", frozen(cache["ln_final.hook_scale"])))
        without = model.run_with_hooks(TOKENS, fwd_hooks=hooks)
        assert_equal(rows[name], ((logits - without) * CONTRAST).sum(-1))


def test_removal_effect_lets_the_scale_follow():
    model = random_model()
    logits, cache = model.run_with_cache(TOKENS)
    part = components(model, cache)["attn1"]
    without = model.run_with_hooks(TOKENS, fwd_hooks=[("blocks.1.hook_resid_post", lambda x, hook: x - part)])
    wanted = ((logits - without) * CONTRAST).sum(-1)
    assert_equal(removal_effect(model, cache, CONTRAST, part), wanted)
    row = logit_attribution(model, cache, CONTRAST)["attn1"]
    assert (row - wanted).abs().max() > 0.01 * wanted.abs().max()


def test_attention_split_by_offset():
    model = random_model()
    cache = cached(model)
    whole = logit_attribution(model, cache, CONTRAST)
    parts = components(model, cache)
    del parts["attn1"], parts["attn1.b_V"]
    parts |= {f"offset {d}": offset_write(model, cache, 1, d) for d in range(6)}
    rows = logit_attribution(model, cache, CONTRAST, parts)
    assert_equal(sum(rows[f"offset {d}"] for d in range(6)), whole["attn1"] + whole["attn1.b_V"])
    assert_equal(rows["mlp1"], whole["mlp1"])


def refused(model: HookedTransformer, cache: ActivationCache, **parts: Any) -> str:
    with pytest.raises(InputError, match="pass the cache of a clean run of this model") as error:
        logit_attribution(model, cache, CONTRAST, **parts)
    return str(error.value)


def test_another_runs_scale_is_refused():
    model = random_model()
    _, other = model.run_with_cache(random_tokens(seed=8))
    mixed = ActivationCache({**cached(model), "ln_final.hook_scale": other["ln_final.hook_scale"]}, model)
    assert "wanted rows that sum to the logits" in refused(model, mixed)


@pytest.mark.parametrize(
    "name", ["blocks.0.hook_resid_mid", "blocks.1.hook_resid_post", "ln_final.hook_scale"]
)
def test_a_hooked_run_is_refused(name: str):
    model = random_model()
    with model.hooks(fwd_hooks=[(name, lambda x, hook: 1.01 * x)]):
        cache = cached(model)
    refused(model, cache)


def test_parts_that_do_not_sum_are_refused_as_is_nan():
    model = random_model()
    cache = cached(model)
    parts = components(model, cache)
    refused(model, cache, parts={name: part for name, part in parts.items() if name != "mlp0.b_out"})
    refused(model, cache, parts={**parts, "embed": parts["embed"] * math.nan})


def test_components_of_a_run_that_added_something_else_are_refused():
    model = random_model()
    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_mid", lambda x, hook: x + 0.1)]):
        cache = cached(model)
    with pytest.raises(
        InputError, match="wanted components that sum to the final residual stream; got a diff"
    ):
        components(model, cache)
