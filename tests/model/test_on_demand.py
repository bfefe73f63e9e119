"""Sites that are computed when they are named: what they hold, what edits do, and what leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import HookError, MissingActivation
from unweave.model.transformer import HookedTransformer

TOKENS = small_tokens()
GROUPED = {"n_heads": 4, "n_key_value_heads": 2}
KINDS = {
    "plain": {"n_heads": 4},
    "grouped": GROUPED,
    "no norm": {**GROUPED, "normalization_type": None},
    "shortformer": {**GROUPED, "positional_embedding_type": "shortformer"},
    "rotary": {**GROUPED, "positional_embedding_type": "rotary"},
}
SITES = ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input", "hook_mlp_in")


def run(model: HookedTransformer, *edits: tuple[str, object]) -> Tensor:
    return model.run_with_hooks(TOKENS, fwd_hooks=list(edits))


@pytest.mark.parametrize("site", [*SITES, "attn.hook_result"])
@pytest.mark.parametrize("kind", KINDS)
def test_to_read_one_leaves_the_logits(kind: str, site: str):
    model = small_model(**KINDS[kind])
    names = [f"blocks.{layer}.{site}" for layer in (0, 1)]
    logits, cache = model.run_with_cache(TOKENS, names_filter=names)
    assert_equal_to(1e-5, logits, model(TOKENS))
    heads = 2 if site in ("hook_k_input", "hook_v_input") and kind != "plain" else 4
    wanted = (3, 7, 8) if site == "hook_mlp_in" else (3, 7, heads, 8)
    assert {tuple(cache[name].shape) for name in names} == {wanted}


@pytest.mark.parametrize("accepting", [None, lambda name: True])
def test_who_wants_everything_does_not_get_them_unless_a_switch_says_so(accepting: object):
    model = small_model(**GROUPED)
    _, usual = model.run_with_cache(TOKENS, names_filter=accepting)
    rare = {name for name in model.hook_dict if name.endswith((*SITES, "hook_result"))}
    assert set(usual) == set(model.hook_dict) - rare
    switches = {
        "use_attn_result": ("hook_result",),
        "use_split_qkv_input": ("hook_q_input", "hook_k_input", "hook_v_input"),
        "use_attn_in": ("hook_attn_in",),
        "use_hook_mlp_in": ("hook_mlp_in",),
    }
    for switch, sites in switches.items():
        wanted = set(usual) | {name for name in rare if name.endswith(sites)}
        built = small_model(**GROUPED, **{switch: True})
        assert set(built.run_with_cache(TOKENS, names_filter=accepting)[1]) == wanted
        assert_equal_to(1e-5, built(TOKENS), model(TOKENS))
        getattr(model, f"set_{switch}")(True)
        assert set(model.run_with_cache(TOKENS, names_filter=accepting)[1]) == wanted
        setattr(model.cfg, switch, False)
        assert set(model.run_with_cache(TOKENS, names_filter=accepting)[1]) == set(usual)


@pytest.mark.parametrize(("route", "weight"), [("q", "W_Q"), ("k", "W_K"), ("v", "W_V")])
@pytest.mark.parametrize("kind", ["plain", "grouped", "no norm"])
def test_an_edit_of_one_heads_input_reaches_that_head_and_route_alone(kind: str, route: str, weight: str):
    model = small_model(**KINDS[kind], dtype="float64")
    _, clean = model.run_with_cache(TOKENS)
    change = torch.randn(3, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def edit(x: Tensor, hook: object) -> None:
        x[:, :, 1] += change

    with model.hooks(fwd_hooks=[(f"blocks.1.hook_{route}_input", edit)]):
        _, cache = model.run_with_cache(TOKENS)
    edited = clean["resid_pre", 1] + change
    if kind != "no norm":
        centred = edited - edited.mean(-1, keepdim=True)
        scale = (centred.pow(2).mean(-1, keepdim=True) + model.cfg.eps).sqrt()
        norm = model.blocks[1].ln1
        edited = centred / scale * norm.w + norm.b
    own = model.blocks[1].attn.state_dict()
    prefix = "_" if kind != "plain" and route != "q" else ""
    wanted = clean[route, 1].clone()
    wanted[:, :, 1] = edited @ own[f"{prefix}{weight}"][1] + own[f"{prefix}b{weight[1:]}"][1]
    assert_equal_to(1e-12, cache[route, 1], wanted)
    for other in {"q", "k", "v"} - {route}:
        assert_equal_to(1e-12, cache[other, 1], clean[other, 1])
    for site in ("resid_pre", "resid_mid"):
        stream = cache[site, 1] - (cache["attn_out", 1] if site == "resid_mid" else 0)
        assert_equal_to(1e-12, stream, clean["resid_pre", 1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_edit_at_each_route_or_at_attn_in_is_the_edit_of_what_attention_reads(kind: str):
    model = small_model(**KINDS[kind], dtype="float64")
    read: list[Tensor] = []
    change = torch.arange(8.0, dtype=torch.float64).sin()

    def shift(x: Tensor, hook: object) -> Tensor:
        return x + change

    def keep(x: Tensor, hook: object) -> None:
        read.append(x.clone())

    split = [(f"blocks.0.hook_{route}_input", shift) for route in "qkv"]
    out = "blocks.0.hook_attn_out"
    run(model, *split, (out, keep))
    run(model, ("blocks.0.hook_attn_in", shift), (out, keep))
    run(model, ("blocks.0.hook_resid_pre", shift), (out, keep))
    assert_equal_to(1e-12, read[1], read[0])
    assert_equal_to(1e-12, read[2], read[0])
    assert not torch.allclose(read[0], model.run_with_cache(TOKENS)[1]["attn_out", 0])


def test_attn_in_comes_before_the_routes():
    model = small_model(n_heads=4)

    def shift(x: Tensor, hook: object) -> Tensor:
        return x + 1

    with model.hooks(fwd_hooks=[("blocks.0.hook_attn_in", shift)]):
        _, cache = model.run_with_cache(TOKENS, names_filter=["hook_embed", "blocks.0.hook_q_input"])
    assert_equal_to(1e-6, cache["blocks.0.hook_q_input"], cache["embed"][:, :, None].expand(3, 7, 4, 8) + 1)


def test_heads_that_share_keys_cannot_be_told_apart_at_attn_in():
    def first_head(x: Tensor, hook: object) -> None:
        x[:, :, 0] += 1

    def first_group(x: Tensor, hook: object) -> None:
        x[:, :, :2] += 1

    model = small_model(**GROUPED)
    with pytest.raises(
        HookError, match=r"^wanted the same blocks\.0\.hook_attn_in for heads that share keys"
    ):
        run(model, ("blocks.0.hook_attn_in", first_head))
    split = [(f"blocks.0.hook_{route}_input", lambda x, hook: first_input(x, 1)) for route in "kv"]
    split.append(("blocks.0.hook_q_input", lambda x, hook: first_input(x, 2)))
    assert_equal_to(1e-5, run(model, ("blocks.0.hook_attn_in", first_group)), run(model, *split))
    model.set_ungroup_grouped_query_attention(True)
    run(model, ("blocks.0.hook_attn_in", first_head))


def first_input(x: Tensor, heads: int) -> Tensor:
    x[:, :, :heads] += 1
    return x


def test_ungrouped_every_head_has_keys_and_values_of_its_own():
    model = small_model(**GROUPED, positional_embedding_type="rotary")
    _, grouped = model.run_with_cache(TOKENS)
    model.set_ungroup_grouped_query_attention(True)
    logits, cache = model.run_with_cache(TOKENS)
    for site in ("k", "v", "rot_k"):
        assert cache[site, 0].shape == (3, 7, 4, 4)
        assert_equal_to(1e-6, cache[site, 0], grouped[site, 0][:, :, [0, 0, 1, 1]])
    model.set_ungroup_grouped_query_attention(False)
    assert_equal_to(1e-5, logits, model(TOKENS))


@pytest.mark.parametrize("site", ["hook_scale", "hook_normalized"])
def test_an_edit_of_the_norm_reaches_split_inputs_too(site: str):
    """The usual pair of path patching: the norm's scale frozen, one head's input replaced."""
    model = small_model(n_heads=4, dtype="float64")

    def half(x: Tensor, hook: object) -> Tensor:
        return x / 2

    edits = [(f"blocks.0.ln1.{site}", half)]
    wanted = run(model, *edits)
    read = [(f"blocks.0.{name}", lambda x, hook: None) for name in SITES[:4]]
    for chosen in (read[:1], read[1:2], read[1:], read):
        assert_equal_to(1e-12, run(model, *edits, *chosen), wanted)


def test_a_frozen_scale_is_what_an_edited_input_is_divided_by():
    model = small_model(n_heads=4, dtype="float64")
    _, clean = model.run_with_cache(TOKENS)
    scale = clean["scale", 0, "ln1"]
    edits = [
        ("blocks.0.ln1.hook_scale", lambda x, hook: scale),
        ("blocks.0.hook_q_input", lambda x, hook: x * 3),
    ]
    with model.hooks(fwd_hooks=edits):
        _, cache = model.run_with_cache(TOKENS)
    x, norm = 3 * clean["resid_pre", 0], model.blocks[0].ln1
    normed = (x - x.mean(-1, keepdim=True)) / scale * norm.w + norm.b
    wanted = torch.einsum("bpd,hde->bphe", normed, model.W_Q[0]) + model.b_Q[0]
    assert_equal_to(1e-12, cache["q", 0], wanted)
    assert cache["scale", 0, "ln1"].shape == (3, 7, 1)


@pytest.mark.parametrize("kind", [*KINDS, "qk norm", "parallel", "post norms"])
def test_gradients_at_every_hook(kind: str):
    model = small_model(**KINDS.get(kind, FEATURES.get(kind)), dtype="float64")
    names = list(model.hook_dict)
    seen: dict[str, Tensor] = {}

    def keep(gradient: Tensor, hook: object) -> None:
        seen[hook.name] = gradient

    with model.recording(names, detach=False) as kept:
        loss = model(TOKENS).pow(2).sum()
    wanted = torch.autograd.grad(loss, [kept[name] for name in names])
    with model.hooks(bwd_hooks=[(names, keep)]):
        model(TOKENS).pow(2).sum().backward()
    for name, gradient in zip(names, wanted, strict=True):
        torch.testing.assert_close(seen[name], gradient, msg=name)
    # The stream's own gradient is what it is when nobody looks at anything else.
    alone = "blocks.1.hook_resid_pre"
    with model.recording(alone, detach=False) as kept:
        loss = model(TOKENS).pow(2).sum()
    torch.testing.assert_close(seen[alone], torch.autograd.grad(loss, kept[alone])[0])


@pytest.mark.parametrize("site", SITES)
def test_an_edit_in_place_leaves_what_the_stream_cached(site: str):
    model = small_model(n_heads=4)
    _, clean = model.run_with_cache(TOKENS)
    with model.hooks(fwd_hooks=[(f"blocks.0.{site}", lambda x, hook: x.zero_())]):
        _, cache = model.run_with_cache(TOKENS)
    stream = ("resid_mid" if site == "hook_mlp_in" else "resid_pre", 0)
    assert torch.equal(cache[stream], clean[stream])
    _, cache = model.run_with_cache(TOKENS, names_filter=[f"blocks.0.{site}", "blocks.0.hook_resid_pre"])
    cache[f"blocks.0.{site}"].zero_()
    assert torch.equal(cache["resid_pre", 0], clean["resid_pre", 0])


def test_a_filter_that_picks_others_too_leaves_them_out_and_the_cache_says_why():
    model = small_model(**GROUPED)
    _, cache = model.run_with_cache(
        TOKENS, names_filter=lambda name: name.endswith(("hook_z", "hook_result"))
    )
    assert {name.rpartition(".")[2] for name in cache} == {"hook_z"}
    with pytest.raises(MissingActivation) as raised:
        _ = cache["result", 1]
    assert str(raised.value) == (
        "wanted an activation that this run cached; got ('result', 1); "
        "name it in names_filter: it is computed only when it is named"
    )
    _, cache = model.run_with_cache(TOKENS, names_filter=lambda name: name.endswith("hook_result"))
    assert list(cache) == ["blocks.0.attn.hook_result", "blocks.1.attn.hook_result"]
