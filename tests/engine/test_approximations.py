from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import HookedTransformer, LogitDifference, Rank, Site, sweep
from unweave.core.errors import InputError
from unweave.engine import Add, Zero

TOKENS = small_tokens()
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
METRIC = LogitDifference(TOKENS[:, 0], OTHER[:, 0])


def model_of(**fields: Any) -> HookedTransformer:
    return small_model(
        **{
            "n_layers": 2,
            "dtype": "float64",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            **fields,
        }
    )


def samples(result: Any) -> Tensor:
    assert result.per_sample is not None
    return result.per_sample


@pytest.mark.parametrize("method", ["attribution", "integrated"])
def test_exact_where_all_after_the_site_is_linear(method: str):
    # No norm, and after attention's values nothing but linear maps: no MLP.
    model = model_of(normalization_type=None, attn_only=True, n_layers=1, act_fn=None)
    for site, axes in (("z", ("head", "pos")), ("v", ("head", "pos")), ("resid_post", ("pos", "neuron"))):
        given = {"over": (Site(site, 0), *axes), "source": OTHER, "metric": METRIC}
        exact, found = (sweep(model, TOKENS, **given, method=m) for m in ("exact", method))
        assert_equal_to(1e-10, samples(found), samples(exact), site)
        assert found.approximate and not exact.approximate
        assert found.warnings == ()
        assert all(abs(check.approximate - check.exact) < 1e-10 for check in found.rechecks)


def test_the_first_order_is_the_derivative_along_the_change():
    model = model_of()
    there = model.run_with_cache(OTHER)[1]["blocks.1.hook_resid_pre"]
    found = sweep(
        model, TOKENS, (Site("resid_pre", 1), "pos"), source=OTHER, metric=METRIC, method="attribution"
    )

    def measured(step: float, pos: int) -> Tensor:
        def move(tensor: Tensor, *, hook: Any) -> Tensor:
            tensor[:, pos] += step * (there[:, pos] - tensor[:, pos])
            return tensor

        logits = model.run_with_hooks(TOKENS, fwd_hooks=[("blocks.1.hook_resid_pre", move)])[:, -1]
        rows = torch.arange(3)
        return logits[rows, TOKENS[:, 0]] - logits[rows, OTHER[:, 0]]

    with torch.no_grad():
        wanted = torch.stack([(measured(1e-5, pos) - measured(-1e-5, pos)) / 2e-5 for pos in range(7)])
    assert_equal_to(1e-6, found.effect_per_sample, wanted)


def test_integrated_estimates_sum_to_the_effect_of_the_whole():
    model = model_of()
    found = sweep(
        model,
        TOKENS,
        ("resid_pre", "layer", "pos"),
        source=OTHER,
        metric=METRIC,
        method="integrated",
        steps=48,
    )
    for layer in range(2):
        whole = sweep(model, TOKENS, {"whole": Site("resid_pre", layer).interchange(OTHER)}, metric=METRIC)
        assert_equal_to(1e-3, found.effect_per_sample[layer].sum(0), whole.effect_per_sample[0])
    wholes = [check for check in found.rechecks if check.why == "all cells together"]
    assert [dict(check.labels) for check in wholes] == [{"layer": 0}, {"layer": 1}]
    assert all(abs(check.approximate - check.exact) < 1e-3 * abs(check.exact) for check in wholes)


def dead_relu() -> HookedTransformer:
    """A model whose neurons are all off in the clean run, and on when the stream is raised by much."""
    model = model_of(n_layers=1, act_fn="relu", normalization_type=None)
    with torch.no_grad():
        model.blocks[0].mlp.b_in.fill_(-50.0)
        model.blocks[0].mlp.W_in.fill_(1.0)
        model.unembed.W_U.zero_()
        model.unembed.W_U[:, 0] = 1.0
        model.blocks[0].mlp.W_out.fill_(1.0)
    return model


def test_vanishing_gradients_are_flagged():
    model = dead_relu()
    over = (Site("post", 0), "pos")
    # The gradient at hook_pre is zero, though raising it by 100 has an effect.
    cells = {f"pos {pos}": Site("pre", 0, pos=pos).add(100.0) for pos in range(7)}
    found = sweep(
        model, TOKENS, cells, metric=LogitDifference(0, 1), method="attribution", controls=0, recheck=3
    )
    assert float(found.effect.abs().max()) == 0.0
    assert any("all estimates are 0" in text for text in found.warnings)
    every = sweep(model, TOKENS, cells, metric=LogitDifference(0, 1), method="attribution", recheck=7)
    assert any("at patch pos 6 is" in text and "not 0" in text for text in every.warnings)
    grid = sweep(
        model,
        TOKENS,
        (Site("pre", 0), "pos"),
        operation=Add(100.0),
        metric=LogitDifference(0, 1),
        method="attribution",
    )
    assert any("gradients vanish" in text for text in grid.warnings)
    exact = sweep(model, TOKENS, cells, metric=LogitDifference(0, 1), controls=0)
    assert float(exact.effect.abs().max()) > 1.0
    assert sweep(model, TOKENS, over, operation=Zero(), metric=LogitDifference(0, 1)).values.shape == (7,)


def test_a_saturated_pattern_is_flagged():
    model = model_of(n_layers=1, attn_only=True, act_fn=None, normalization_type=None)
    with torch.no_grad():
        model.blocks[0].attn.W_Q.mul_(1e6)
    given = {"over": (Site("q", 0, pos=-1), "head"), "source": OTHER, "metric": METRIC}
    exact, found = (sweep(model, TOKENS, **given, method=m) for m in ("exact", "attribution"))
    assert float(found.effect.abs().max()) < 0.01 * float(exact.effect.abs().max())
    assert found.warnings != ()


def test_several_edits_of_one_site_are_one_change():
    model = model_of(normalization_type=None, attn_only=True, n_layers=1, act_fn=None)
    site = Site("z", 0, head=0)
    over = [[site.zero(), site.add(0.5)], [site.interchange(OTHER)]]
    exact, found = (sweep(model, TOKENS, over, metric=METRIC, method=m) for m in ("exact", "attribution"))
    assert_equal_to(1e-10, samples(found), samples(exact))


def test_hooks_of_the_users_act_in_the_gradient_too():
    model = model_of(normalization_type=None, attn_only=True, n_layers=1, act_fn=None)
    model.add_hook("blocks.0.hook_resid_post", lambda tensor, hook: tensor * 1.5)
    given = {"over": ("z", "head"), "source": OTHER, "metric": METRIC}
    exact, found = (sweep(model, TOKENS, **given, method=m) for m in ("exact", "attribution"))
    assert_equal_to(1e-10, samples(found), samples(exact))


def test_parameters_get_no_gradients():
    model = model_of()
    sweep(model, TOKENS, "z", source=OTHER, metric=METRIC, method="attribution")
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        frozen = model_of()
        frozen.requires_grad_(False)
        sweep(frozen, TOKENS, "z", source=OTHER, metric=METRIC, method="attribution")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric": Rank(3)}, "wanted a metric with a gradient; got Rank"),
        ({"over": (Site("z"), "head")}, "wanted patches of one hook each"),
        ({"metric": lambda logits: logits.argmax(-1)[:, -1].double()}, "wanted a metric with a gradient"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str):
    asked = {"over": "z", "source": OTHER, "metric": METRIC, **given}
    with pytest.raises(InputError, match=message):
        sweep(model_of(), TOKENS, asked.pop("over"), **asked, method="attribution")


@pytest.mark.parametrize("method", ["attribution", "integrated"])
def test_without_checks_and_controls_it_still_knows_whether_anything_is_changed(method: str):
    model = small_model(n_layers=2, dtype="float64", positional_embedding_type="standard")
    tokens = small_tokens()
    given = {"metric": LogitDifference(3, 4), "method": method, "recheck": 0, "controls": 0}
    over = ("z", "layer", "head")
    assert sweep(model, tokens, over, source=(tokens + 1) % 11, **given).approximate
    with pytest.raises(InputError, match="values equal everywhere to what they replace"):
        sweep(model, tokens, over, source=tokens, **given)
