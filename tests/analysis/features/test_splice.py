"""A dictionary within a model: the run is the same, its features are hooks, its error is kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import unweave
from tests.analysis.features.planted import OTHERS, SITE, TOKENS, dictionary, model
from unweave import HookedTransformer, Site, features
from unweave.core.errors import HookError, InputError

MLP = {"hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}
Z = "blocks.1.attn.hook_z"
CASES = {
    "standard": dictionary(),
    "gated": dictionary("gated"),
    "topk": dictionary("topk"),
    "jumprelu": dictionary("jumprelu"),
    "layer_norm": dictionary(normalize_activations="layer_norm"),
    "rescaled": dictionary(normalize_activations="constant_norm_rescale"),
    "all_heads": dictionary(hook_name=Z, reshape_activations="hook_z"),
    "one_head": dictionary(d_in=4, hook_name=Z, hook_head_index=1),
    "transcoder": dictionary("transcoder", d_out=8, apply_b_dec_to_input=False, **MLP),
    "skip": dictionary("jumprelu_skip_transcoder", d_out=8, apply_b_dec_to_input=False, **MLP),
}


def off(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_with_its_error_the_run_is_the_models_own(case: str):
    m = model()
    logits = m(TOKENS)
    with features.splice(m, CASES[case]) as spliced:
        assert off(m(TOKENS), logits) <= 1e-5
        _, cache = m.run_with_cache(TOKENS)
        assert off(cache[spliced.recons] + cache[spliced.error], cache[spliced.output]) <= 1e-6
    # The plausible mistake: forgetting the error term.
    with features.splice(m, CASES[case], error=False):
        assert off(m(TOKENS), logits) > 0.01
    assert torch.equal(m(TOKENS), logits)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_feature_set_by_hand_moves_the_site_by_its_decoder_row(case: str):
    """Beside the splice: the same change added to the site of the plain model."""
    m, sae, feature = model(), CASES[case], 7
    with features.splice(m, sae) as spliced:
        found = unweave.intervene(m, TOKENS, Site(spliced.features, pos=2, neuron=feature).add(0.7)).logits
    config = sae.config
    read, written = config.hook_name, config.hook_name_out or config.hook_name
    x = m.run_with_cache(TOKENS)[1][read][:, 2]
    x = x[:, config.hook_head_index] if config.hook_head_index is not None else x
    row = 0.7 * sae.W_dec[feature]
    if config.normalize_activations == "layer_norm":
        row = x.std(-1, keepdim=True) * row
    elif config.normalize_activations == "constant_norm_rescale":
        row = x.norm(dim=-1, keepdim=True) / 8**0.5 * row

    def add(tensor: Tensor, hook: object) -> Tensor:
        where = tensor[:, 2] if config.hook_head_index is None else tensor[:, 2, config.hook_head_index]
        where += row.reshape(where.shape) if row.ndim > 1 else row.reshape(where.shape[1:])
        return tensor

    expected = m.run_with_hooks(TOKENS, fwd_hooks=[(written, add)])
    assert off(found, expected) <= 1e-5


def test_features_are_cached_and_patched_as_any_activation():
    m, sae = model(), CASES["standard"]
    x = m.run_with_cache(TOKENS)[1][SITE]
    with features.splice(m, sae) as spliced:
        _, cache = m.run_with_cache(TOKENS, names_filter=[spliced.features, spliced.error])
        torch.testing.assert_close(cache[spliced.features], sae.encode(x))
        torch.testing.assert_close(cache[spliced.error], x - sae(x))
        both = [Site(spliced.features).interchange(OTHERS), Site(spliced.error).interchange(OTHERS)]
        # Features and error together are all of the site.
        run = unweave.intervene(m, TOKENS, both).logits
    whole = unweave.intervene(m, TOKENS, Site(SITE).interchange(OTHERS)).logits
    assert off(run, whole) <= 1e-5


def test_the_model_is_as_it_was_and_its_hooks_go_on_acting():
    m = model()
    table, points, weights = m.hook_dict, list(m.modules()), set(m.state_dict())
    seen: list[Tensor] = []
    m.add_hook(SITE, lambda tensor, hook: seen.append(tensor))

    def fails_within() -> None:
        with features.splice(m, CASES["standard"], error=False) as spliced:
            assert list(m.hook_dict)[list(m.hook_dict).index(SITE) + 1] == spliced.features
            m.add_hook(SITE, lambda tensor, hook: seen.append(tensor * 2))
            m(TOKENS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_within()
    assert m.hook_dict is table and list(m.modules()) == points and set(m.state_dict()) == weights
    m(TOKENS)
    assert len(seen) == 4, "hooks added before and within stay until they are removed"
    # Hooks at the site see what the model put out, not the reconstruction.
    assert torch.equal(seen[0], seen[2])
    m.reset_hooks()
    m(TOKENS)
    assert len(seen) == 4


def test_the_result_of_a_sweep_knows_that_the_model_was_another():
    m = model()
    over, metric = (Site("z", layer=1), "head"), unweave.LogitDifference(3, 4)
    plain = unweave.sweep(m, TOKENS, over, operation=unweave.engine.Zero(), metric=metric)
    with features.splice(m, CASES["standard"]):
        within = unweave.sweep(m, TOKENS, over, operation=unweave.engine.Zero(), metric=metric)
    torch.testing.assert_close(plain.values, within.values, rtol=1e-5, atol=1e-6)
    assert plain.provenance["weights"] != within.provenance["weights"]


def directional(m: HookedTransformer, name: str, direction: Tensor, hooks: list) -> float:
    """The derivative of the loss along `direction` at the hook `name`, by central differences."""
    values = []
    for step in (1e-4, -1e-4):
        add = [Site(name).add(step * direction), *hooks]
        values.append(unweave.intervene(m, TOKENS, add, return_type="loss").output.item())
    return (values[0] - values[1]) / 2e-4


def test_gradients_through_the_error_and_around_it():
    """Before a site with a dictionary: through its features alone, or as in the model itself."""
    m = model(dtype="float64")
    first, second = (
        dictionary(dtype="float64"),
        dictionary(dtype="float64", hook_name="blocks.1.hook_resid_mid"),
    )
    direction = torch.randn(3, 6, 20, generator=torch.Generator().manual_seed(4)).double()
    found: dict[bool, float] = {}
    for stop in (True, False):
        with features.splice(m, first) as one, features.splice(m, second, stop_gradient=stop) as two:
            leaf: list[Tensor] = []

            def keep(tensor: Tensor, hook: object, leaf: list[Tensor] = leaf) -> Tensor:
                leaf.append(tensor.detach().requires_grad_())
                return leaf[0]

            with m.hooks([(one.features, keep)]):
                m(TOKENS, "loss").backward()
            found[stop] = (leaf[0].grad * direction).sum().item()
            frozen = directional(m, one.features, direction, [Site(two.error).freeze()])
            free = directional(m, one.features, direction, [])
    # Stopped: the derivative of a run in which the later error stays what it was.
    assert found[True] == pytest.approx(frozen, rel=1e-5)
    assert found[False] == pytest.approx(free, rel=1e-5)
    assert abs(frozen - free) > 0.01 * abs(free), "the two are different questions"


@pytest.mark.parametrize(
    ("sae", "at", "told"),
    [
        (
            dictionary(),
            "blocks.0.hook_resid_pst",
            "wanted the name of a hook of this model; got 'blocks.0.hook_resid_pst'",
        ),
        (dictionary(), "blocks.0.ln2.hook_normalized", "wanted a site whose vectors the model goes on with"),
        (dictionary(), "blocks.0.attn.hook_pattern", "wanted a site whose vectors the model goes on with"),
        (dictionary(hook_name=None), None, "wanted the sites that the dictionary reads and writes; got none"),
        (dictionary(d_in=4), Z, "wanted a head at a site of heads"),
    ],
)
def test_what_is_refused(sae: features.Dictionary, at: str | None, told: str):
    with pytest.raises((InputError, HookError), match=told), features.splice(model(), sae, at=at):
        pass


def test_one_dictionary_a_site_and_of_its_size():
    m = model()
    with (
        features.splice(m, dictionary(d_in=5)),
        pytest.raises(InputError, match=r"wanted activations of 5 numbers"),
    ):
        m(TOKENS)
    with (
        features.splice(m, dictionary()),
        pytest.raises(InputError, match="and no dictionary at it yet"),
        features.splice(m, dictionary()),
    ):
        pass
