"""The model's hookable places: their names, and tensors that go by two of them."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from torch import Tensor

from tests.model.features import FEATURES
from tests.model.small import small_model, small_tokens
from unweave.core import sites
from unweave.core.hooks import HookPoint
from unweave.model.kv_cache import KeyValueCache

# (first, second): without positions these are one tensor under two names.
SAME = [
    ("hook_embed", "blocks.0.hook_resid_pre"),
    ("blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"),
]


def spelled(n_layers: int, *, norm: bool, mlp: bool, positions: bool) -> set[str]:
    """Every name that sites.py can spell for such a model."""
    names = {f"hook_{site}" for site in ("embed", *(["pos_embed"] if positions else []))}
    for layer in range(n_layers):
        names |= {sites.attn_site(layer, site) for site in sites.ATTN}
        names |= {sites.block_site(layer, site) for site in sites.SPLIT}
        names |= {sites.block_site(layer, site) for site in sites.MLP_IN if mlp}
        names |= {
            sites.block_site(layer, site)
            for site in sites.BLOCK
            # What goes on from a norm of the stream is in models with such norms alone.
            if site != "normalized_resid_post" and (mlp or site not in ("resid_mid", "mlp_out"))
        }
        names |= {sites.mlp_site(layer, site) for site in sites.MLP if mlp}
        norms = (["ln1", "ln2"] if mlp else ["ln1"]) if norm else []
        names |= {sites.norm_site(name, site, layer) for name in norms for site in sites.NORM}
    names |= {f"unembed.hook_{site}" for site in sites.UNEMBED}
    return names | {sites.norm_site("ln_final", site) for site in sites.NORM if norm}


@pytest.mark.parametrize("n_layers", [0, 1, 3])
@pytest.mark.parametrize("norm", ["LN", "LNPre", "RMS", "RMSPre", None])
@pytest.mark.parametrize("attn_only", [False, True])
@pytest.mark.parametrize("positions", ["none", "standard", "sinusoidal"])
def test_the_model_registers_the_names_that_sites_spell(
    n_layers: int, norm: str | None, attn_only: bool, positions: str
):
    model = small_model(
        n_layers=n_layers, normalization_type=norm, attn_only=attn_only, positional_embedding_type=positions
    )
    wanted = spelled(n_layers, norm=norm is not None, mlp=not attn_only, positions=positions != "none")
    assert set(model.hook_dict) == wanted
    assert all(point.name == name for name, point in model.hook_dict.items())


def test_what_is_computed_on_demand_is_what_sites_say():
    on_demand = {name for name, point in small_model().hook_dict.items() if point.on_demand}
    assert {name.rpartition("hook_")[2] for name in on_demand} == set(sites.ON_DEMAND)
    assert len(on_demand) == 2 * len(sites.ON_DEMAND), "two layers"


@pytest.mark.parametrize(("first", "second"), SAME)
def test_two_names_are_one_tensor(first: str, second: str):
    _, cache = small_model().run_with_cache(small_tokens())
    assert torch.equal(cache[first], cache[second])


@pytest.mark.parametrize(("first", "second"), SAME)
def test_an_edit_in_place_at_one_name_leaves_what_the_other_cached(first: str, second: str):
    model, tokens = small_model(), small_tokens()
    _, clean = model.run_with_cache(tokens)
    clean = {name: value.clone() for name, value in clean.items()}

    def wipe(x: Tensor, hook: HookPoint) -> None:
        x.zero_()

    with model.hooks(fwd_hooks=[(second, wipe)]):
        _, cache = model.run_with_cache(tokens)
    assert torch.equal(cache[first], clean[first])
    assert not cache[second].any()

    # And where the reader stands before the editor, at the very same name.
    with model.recording() as kept, model.hooks(fwd_hooks=[(first, wipe)]):
        model(tokens)
    assert torch.equal(kept[first], clean[first])
    assert not kept[second].any()


@pytest.mark.parametrize(("first", "second"), SAME)
def test_an_edit_at_either_name_has_the_same_effect_downstream(first: str, second: str):
    model, tokens = small_model(), small_tokens()
    edited = [
        model.run_with_hooks(tokens, fwd_hooks=[(name, lambda x, hook: x + torch.arange(8.0))])
        for name in (first, second)
    ]
    assert torch.equal(edited[0], edited[1])
    assert not torch.equal(edited[0], model(tokens))


@pytest.mark.parametrize(
    "fields", [{"n_heads": 2, "positional_embedding_type": "standard"}, *FEATURES.values()]
)
def test_gradients_at_every_hook(fields: dict):
    model, tokens = small_model(**{**fields, "dtype": "float64"}), small_tokens()
    seen: dict[str, Tensor] = {}

    def keep(gradient: Tensor, hook: HookPoint) -> None:
        seen[hook.name] = gradient

    with model.recording(list(model.hook_dict), detach=False) as kept:
        loss = model(tokens).pow(2).sum()
    # The choice of experts is of whole numbers.
    names = [name for name in model.hook_dict if kept[name].is_floating_point()]
    wanted = torch.autograd.grad(loss, [kept[name] for name in names])
    with model.hooks(bwd_hooks=[(names, keep)]):
        model(tokens).pow(2).sum().backward()
    for name, gradient in zip(names, wanted, strict=True):
        torch.testing.assert_close(seen[name], gradient, msg=name)


def test_a_thousand_runs_that_raise_at_random_places_leave_no_hook():
    model, draw = small_model(n_layers=1, n_heads=1), random.Random(0)
    own = model.add_hook("hook_embed", lambda x, hook: None)
    names, raised = list(model.hook_dict), 0
    cache = KeyValueCache.init_cache(model.cfg, batch_size=1)

    def fail(x: Tensor, hook: HookPoint) -> None:
        raise draw.choice([ZeroDivisionError, KeyboardInterrupt])

    for _ in range(1000):
        name, direction = draw.choice(names), draw.choice(["fwd", "fwd", "bwd"])
        try:
            with model.hooks(**{f"{direction}_hooks": [(name, fail)]}):
                if direction == "bwd":
                    model.run_with_cache(small_tokens(1, 3), incl_bwd=True, return_type="loss")
                else:
                    model.run_with_cache(small_tokens(1, 3), names_filter=names, past_kv_cache=cache)
        except (ZeroDivisionError, KeyboardInterrupt):
            raised += 1
        assert [hook for hooks in model.list_hooks().values() for hook in hooks] == own
        assert model.context_level == cache.length == cache[0].past_keys.shape[1] == 0
    assert raised == 1000


def test_a_gradient_that_is_replaced_changes_what_lies_before_and_nothing_else():
    model, tokens = small_model(), small_tokens()
    with model.hooks(bwd_hooks=[("blocks.1.hook_resid_pre", lambda gradient, hook: gradient * 0)]):
        model(tokens).pow(2).sum().backward()
    stopped = {name: bool(parameter.grad.any()) for name, parameter in model.named_parameters()}
    assert not any(used for name, used in stopped.items() if name.startswith(("embed", "blocks.0")))
    assert all(
        used for name, used in stopped.items() if name.startswith(("blocks.1.mlp", "ln_final", "unembed"))
    )


@pytest.mark.parametrize("positions", ["standard", "sinusoidal"])
def test_what_a_cache_holds_is_not_the_weights(positions: str):
    model, tokens = small_model(positional_embedding_type=positions), small_tokens()
    before = model(tokens[0])
    _, cache = model.run_with_cache(tokens[0])
    for name in cache:
        cache[name].zero_()
    assert torch.equal(model(tokens[0]), before)


def test_a_copy_has_points_of_its_own():
    model, tokens = small_model(), small_tokens()
    other = copy.deepcopy(model)
    other.hook_dict["hook_embed"].add_hook(lambda x, hook: x * 0)
    assert other.hook_embed is other.hook_dict["hook_embed"]
    assert not model.hook_embed.active
    assert not torch.equal(other(tokens), model(tokens))
