"""Steering on models in which what a direction does can be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.models import VOCAB, assert_equal, no_hooks_left, random_model, random_tokens
from tests.equivalent_models import equivalents
from unweave.analysis.steer import Steering, dose_response, mean_difference
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import LogitDifference
from unweave.engine.site import Site

SITE = Site("resid_post", layer=1)


def test_the_mean_difference_by_hand():
    model = random_model()
    positive, negative = random_tokens(3), random_tokens(3, seed=1)
    last = Site("resid_mid", layer=1, pos=-1)
    up, down = (model.run_with_cache(t)[1]["resid_mid", 1] for t in (positive, negative))
    found = mean_difference(model, positive, negative, last)
    assert_equal(found, (up - down)[:, -1].mean(0))
    assert not torch.allclose(found, (up - down).mean((0, 1))), "all positions and not the last"
    some = mean_difference(model, positive, negative, last.at(pos=[2, 4]), per="position")
    assert_equal(some, (up - down)[:, [2, 4]].mean(0))
    z = [model.run_with_cache(t)[1]["z", 0][:, :, 1] for t in (positive, negative)]
    assert_equal(mean_difference(model, positive, negative, Site("z", 0, head=1)), (z[0] - z[1]).mean((0, 1)))


def test_padding_is_left_out_of_the_mean():
    model = random_model()
    tokens, other = random_tokens(1), random_tokens(1, seed=1)
    padded = Inputs(torch.nn.functional.pad(tokens[:, :4], (0, 2)), torch.tensor([[1, 1, 1, 1, 0, 0]]))
    wanted = mean_difference(model, tokens[:, :4], other, SITE)
    assert_equal(mean_difference(model, padded, other, SITE), wanted)


def test_each_dose_against_a_run_with_the_sum():
    """With a norm after it nothing is linear: each dose is a run of its own, and so is each random direction."""
    model = random_model()
    tokens, metric = random_tokens(4), LogitDifference(1, 2)
    direction = mean_difference(model, random_tokens(3, seed=2), random_tokens(3, seed=3), SITE.at(layer=0))
    found = dose_response(model, tokens, SITE.at(layer=0), direction, metric, doses=(-1.0, 0.0, 3.0), draws=2)
    for column, dose in enumerate((-1.0, 0.0, 3.0)):
        logits = model.run_with_hooks(
            tokens, fwd_hooks=[("blocks.0.hook_resid_post", lambda x, hook, dose=dose: x + dose * direction)]
        )
        assert_equal(found.result.per_sample[0, column], logits[:, -1, 1] - logits[:, -1, 2])
    assert found.result.coords["direction"] == ("steering", "random 0", "random 1")
    low, high = found.result.interval
    assert low.shape == (3, 3) and (low < high).all()
    assert no_hooks_left(model)


def test_without_norms_the_effect_at_the_end_is_linear_and_known():
    model = random_model(normalization_type=None)
    tokens = random_tokens(4)
    direction = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = dose_response(
        model, tokens, SITE, direction, LogitDifference(1, 2), doses=(-2.0, 1.0, 4.0), draws=3
    )
    slope = direction @ (model.W_U[:, 1] - model.W_U[:, 2])
    assert_equal(found.result.effect[0], slope.detach() * torch.tensor([-2.0, 1.0, 4.0]).double(), 1e-9)


def test_random_directions_are_of_the_same_norm_and_know_their_seeds():
    """With logits that are the stream itself, what was added can be read off."""
    model = random_model(normalization_type=None, d_vocab_out=8)
    with torch.no_grad():
        model.unembed.W_U.copy_(torch.eye(8))
    tokens = random_tokens(1)
    clean = model(tokens)[0]
    direction = torch.arange(8.0).double()[None] * torch.tensor([[1.0], [2.0]])
    seen: list[Tensor] = []

    def metric(logits: Tensor) -> Tensor:
        seen.append((logits[0] - clean).detach())
        return logits.sum()

    site = SITE.at(pos=[2, 3])
    dose_response(model, tokens, site, direction, metric, doses=(2.0,), draws=2, seed=7)
    steered, first, second = [each for each in seen if each.abs().max() > 1e-9]
    assert_equal(steered[[2, 3]], 2 * direction)
    for noise in (first, second):
        assert_equal(noise.norm(dim=-1)[[2, 3]], 2 * direction.norm(dim=-1))
        assert noise[[0, 1, 4, 5]].abs().max() < 1e-12
    assert not torch.allclose(first, second)
    count = len(seen)
    dose_response(model, tokens, site, direction, metric, doses=(2.0,), draws=2, seed=7)
    assert_equal(seen[-1], seen[count - 1])


def steered(model: Any, direction: Tensor, **options: Any) -> Steering:
    return dose_response(model, random_tokens(4), SITE, direction, LogitDifference(1, 2), **options)


def test_a_result_says_when_it_says_nothing():
    model = random_model(normalization_type=None)
    right = (model.W_U[:, 1] - model.W_U[:, 2]).detach()
    good = steered(model, right, doses=(0.0, 1.0), neutral=random_tokens(4, seed=5), tolerance=1e9)
    assert good.warnings == ()
    # What is orthogonal to the difference does nothing to it; almost any random direction does more.
    other = model.W_U[:, 3].detach()
    idle = other - (other @ right) / (right @ right) * right
    [first, second] = steered(model, idle, doses=(0.0, 1.0)).warnings
    assert first == "at dose 1 a random direction of the same norm changes the metric as much"
    assert second.startswith("no neutral tokens were given")
    [first, _] = steered(model, right, draws=0).warnings
    assert first == "no random direction was tried: draws=0"


def test_damage_on_neutral_tokens_by_hand():
    model = random_model(normalization_type=None)
    neutral = random_tokens(4, seed=5)
    direction = model.W_U[:, 3].detach()
    found = steered(model, direction, doses=(0.0, 50.0), neutral=neutral)
    assert found.damage is not None
    logits = model(neutral).detach()
    after = (logits + 50.0 * direction @ model.W_U).detach()

    def loss(logits: Tensor) -> Tensor:
        return -logits.log_softmax(-1)[:, :-1].gather(-1, neutral[:, 1:, None])[..., 0].mean(1)

    table = found.damage.sel(direction="steering")
    assert_equal(table.sel(measure="loss", dose="50").per_sample, loss(after))
    before = logits.log_softmax(-1)
    kl = (before.exp() * (before - after.log_softmax(-1))).sum(-1).mean(1)
    assert_equal(table.sel(measure="KL", dose="50").per_sample, kl)
    assert table.sel(measure="KL", dose="0").values.item() == pytest.approx(0.0, abs=1e-12)
    [text] = [text for text in found.warnings if text.startswith("on neutral tokens")]
    assert text.startswith("on neutral tokens the model leaves what it was made for at dose 50 (loss +")


def test_invariance():
    model = random_model(normalization_type="LN")
    positive, negative, tokens = (random_tokens(3, seed=seed) for seed in (1, 2, 3))
    given: dict[str, Any] = {"metric": LogitDifference(1, 2), "draws": 0}
    direction = mean_difference(model, positive, negative, SITE.at(layer=0))
    wanted = dose_response(model, tokens, SITE.at(layer=0), direction, **given).result.values
    for what, same in equivalents(model, seed=1).items():
        found = mean_difference(same.model, positive, negative, SITE.at(layer=0))
        assert_equal(found, same.stream(direction), 1e-6)
        values = dose_response(same.model, tokens, SITE.at(layer=0), found, **given).result.values
        torch.testing.assert_close(values, wanted, rtol=1e-4, atol=1e-6, msg=what)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m: mean_difference(m, random_tokens(3), random_tokens(2), SITE),
            "wanted as many negative prompts as",
        ),
        (lambda m: mean_difference(m, random_tokens(3), random_tokens(3), SITE), "got two equal means"),
        (
            lambda m: mean_difference(m, random_tokens(2), random_tokens(2, 4), SITE, per="position"),
            'wanted prompts of one length, for per="position"; got 6 and 4 positions',
        ),
        (
            lambda m: mean_difference(m, random_tokens(2), random_tokens(2, seed=1), Site("z", 0)),
            "wanted one hook of the residual stream (or one head's)",
        ),
        (lambda m: steered(m, torch.ones(8).double(), doses=()), "and doses, each once"),
        (lambda m: steered(m, torch.ones(5).double()), "wanted a number, 8 numbers"),
        (lambda m: mean_difference(m, random_tokens(2), random_tokens(2), SITE, per="head"), "per"),
    ],
)
def test_refusals(call: Any, words: str):
    assert VOCAB > 3
    with pytest.raises(InputError) as raised:
        call(random_model())
    assert words in str(raised.value)


def test_damage_is_measured_where_it_is_asked():
    model = random_model(normalization_type=None)
    neutral = random_tokens(4, seed=5)
    given: dict[str, Any] = {"doses": (0.0, 50.0), "neutral": neutral, "draws": 0}
    found = steered(model, model.W_U[:, 3].detach(), neutral_pos=slice(2, 4), **given)
    assert found.damage is not None
    logits = model(neutral).detach().log_softmax(-1)[:, 2:4]
    wanted = -logits.gather(-1, neutral[:, 3:5, None])[..., 0].mean(1)
    assert_equal(found.damage.sel(measure="loss", direction="steering", dose="0").per_sample, wanted)
