"""Mean ablation, on a model in which one site matters and the others don't."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.analysis.models import assert_equal, no_hooks_left, put, random_model, random_tokens, zeroed_model
from unweave.analysis import ablation
from unweave.analysis.ablation import mean_ablation, positional_means, replaced_by
from unweave.core.errors import HookError, InputError
from unweave.model.transformer import HookedTransformer

TOKENS = torch.tensor([[0, 1], [0, 1], [0, 2]])
OTHER = torch.tensor([[0, 1], [0, 2], [0, 2], [0, 2]])


def repeats_its_token() -> HookedTransformer:
    """Logits are 10 at the current token and 0 elsewhere; attention and MLP write nothing."""
    model = zeroed_model(d_vocab=3, d_model=3, n_ctx=2)
    put(model, embed__W_E=10 * torch.eye(3), unembed__W_U=torch.eye(3))
    return model


def loss_of_current(tokens: Tensor):
    return lambda logits: torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())


def test_means_are_per_position_and_of_the_other_batch():
    model = repeats_its_token()
    found = mean_ablation(model, TOKENS, OTHER, loss_of_current(TOKENS))
    # At position 0 the mean is (10, 0, 0) and nothing is lost. At position 1 it is (0, 2.5, 7.5).
    first = math.log(1 + 2 * math.exp(-10))
    total = math.log(1 + math.exp(2.5) + math.exp(7.5))
    at_1, at_2 = total - 2.5, total - 7.5
    ablated = (3 * first + 2 * at_1 + at_2) / 6
    assert found["hook_embed"] == pytest.approx(ablated)
    assert found["blocks.1.hook_resid_post"] == pytest.approx(ablated)


def test_sites_that_carry_nothing_cost_nothing():
    model = repeats_its_token()
    found = mean_ablation(model, TOKENS, OTHER, loss_of_current(TOKENS))
    clean = math.log(1 + 2 * math.exp(-10))
    carried = {
        "hook_embed",
        *(f"blocks.{i}.hook_resid_{at}" for i in (0, 1) for at in ("pre", "mid", "post")),
    }
    assert {name for name, loss in found.items() if loss != pytest.approx(clean)} == carried


@pytest.mark.parametrize(
    ("fields", "sites"), [({}, 37), ({"normalization_type": None}, 27), ({"attn_only": True}, 25)]
)
def test_every_ordinary_hook_is_listed_and_finite(fields: dict[str, object], sites: int):
    model = random_model(**fields)
    tokens, other = random_tokens(seed=1), random_tokens(seed=2)
    found = mean_ablation(model, tokens, other, loss_of_current(tokens))
    assert set(found) == {
        name
        for name, point in model.hook_dict.items()
        if not point.on_demand and not name.startswith("unembed.")  # means are of a run without logits
    }
    assert len(found) == sites
    assert list(found)[:2] == ["hook_embed", "blocks.0.hook_resid_pre"]  # in the order of the run
    assert all(math.isfinite(loss) for loss in found.values())
    assert no_hooks_left(model)


def test_scores_and_pattern_by_an_independent_run():
    """Frozen scores are the softmax of their mean; a frozen pattern is the mean of the softmax."""
    model = random_model(n_layers=1, attn_only=True)
    tokens, other = random_tokens(seed=1), random_tokens(batch=5, seed=2)
    _, cache = model.run_with_cache(tokens)
    _, means = model.run_with_cache(other)
    found = mean_ablation(model, tokens, other, loss_of_current(tokens))
    for site, pattern in (
        ("attn_scores", means["attn_scores", 0].mean(0).softmax(-1)),
        ("pattern", means["pattern", 0].mean(0)),
    ):
        z = torch.einsum("hqk,bkhe->bqhe", pattern, cache["v", 0])
        out = torch.einsum("bqhe,hed->bqd", z, model.W_O[0]) + model.b_O[0]
        logits = model.unembed(model.ln_final(cache["resid_pre", 0] + out))
        wanted = loss_of_current(tokens)(logits).item()
        assert found[f"blocks.0.attn.hook_{site}"] == pytest.approx(wanted)


def test_positional_means_of_uneven_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ablation, "CHUNK", 3)
    model, tokens = random_model(), random_tokens(batch=7)
    _, cache = model.run_with_cache(tokens, return_type=None)
    means = positional_means(model, tokens)
    assert list(means) == list(cache)
    for name, mean in means.items():
        finite = cache[name].isfinite()
        assert (mean.isfinite() == finite[0]).all()
        assert_equal(mean[finite[0]], cache[name].mean(0)[finite[0]])
    only = positional_means(model, tokens, "blocks.1.attn.hook_z")
    assert list(only) == ["blocks.1.attn.hook_z"]


def test_replaced_by_gives_every_sequence_the_same():
    model, tokens = random_model(), random_tokens()
    value = torch.arange(48.0, dtype=torch.float64).view(6, 8)
    with model.hooks(fwd_hooks=[("blocks.0.hook_attn_out", replaced_by(value))]):
        _, cache = model.run_with_cache(tokens)
    assert (cache["attn_out", 0] == value).all()
    assert_equal(cache["resid_mid", 0], cache["resid_pre", 0] + value)


def test_values_of_another_shape_are_refused_even_if_they_would_broadcast():
    model, tokens = random_model(), random_tokens()
    for shape in ((1, 8), (8,), (5, 8)):
        hook = ("blocks.0.hook_attn_out", replaced_by(torch.zeros(shape, dtype=torch.float64)))
        with pytest.raises(InputError, match=r"value of shape \(6, 8\) for blocks.0.hook_attn_out; got"):
            model.run_with_hooks(tokens, fwd_hooks=[hook])
        assert no_hooks_left(model)


def test_bad_input():
    model, tokens = random_model(), random_tokens()
    with pytest.raises(InputError, match="wanted mean_tokens of 6 positions, as the tokens have; got 5"):
        mean_ablation(model, tokens, tokens[:, :5], loss_of_current(tokens))
    with pytest.raises(HookError, match=r"'blocks\.0\.hook_attn'"):
        mean_ablation(model, tokens, tokens, loss_of_current(tokens), names=["blocks.0.hook_attn"])
