"""What features do, beside a loop over the plain model that knows nothing of splices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import unweave
from tests.analysis.features.planted import OTHERS, SITE, TOKENS, dictionary, model
from unweave import Inputs, LogitDifference, features
from unweave.core.errors import InputError

METRIC = LogitDifference(3, 4)
CASES = ("standard", "gated", "topk", "jumprelu")


def measured(m: unweave.HookedTransformer, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The metric with the site changed by hand."""
    logits = m.run_with_hooks(TOKENS, fwd_hooks=[(SITE, lambda tensor, hook: change(tensor))])
    return logits[:, -1, 3] - logits[:, -1, 4]


@torch.no_grad()
def by_hand(
    m: unweave.HookedTransformer, sae: features.Dictionary, labels: tuple, others: Tensor | None
) -> Tensor:
    """`x + (new - old) * row` for each feature; `x + (new - old)` for the error. `[feature, sample]`."""
    there = None if others is None else m.run_with_cache(others)[1][SITE]

    def moved(x: Tensor, label: int | str) -> Tensor:
        if label == "error":
            return sae(x) if there is None else sae(x) + there - sae(there)
        old = sae.encode(x)[..., label, None]
        new = 0.0 if there is None else sae.encode(there)[..., label, None]
        return x + (new - old) * sae.W_dec[label]

    return torch.stack([measured(m, lambda x, label=label: moved(x, label)) for label in labels])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("patched", [False, True])
def test_each_feature_alone(case: str, patched: bool):
    m, sae = model(), dictionary(case)
    if patched:
        result = features.patch(m, TOKENS, OTHERS, sae, METRIC)
    else:
        result = features.ablate(m, TOKENS, sae, METRIC)
    labels = result.coords["feature"]
    assert result.dims == ("feature",) and labels[-1] == "error" and len(labels) > 5
    expected = by_hand(m, sae, labels, OTHERS if patched else None)
    torch.testing.assert_close(result.per_sample, expected, rtol=1e-4, atol=1e-4)
    # Those that are left out change nothing, and the result says so.
    left = tuple(set(range(20)) - set(labels))
    if left:
        nothing = by_hand(m, sae, left, OTHERS if patched else None)
        torch.testing.assert_close(nothing, measured(m, lambda x: x).expand_as(nothing), rtol=1e-4, atol=1e-4)
    assert f"{20 - len(left)} of 20; of the others none is changed" in result.provenance["features"]
    # The plausible mistake: leaving the error out moves every cell, whatever its feature does.
    with features.splice(m, sae, error=False) as spliced:
        wrong = unweave.sweep(
            m, TOKENS, (unweave.Site(spliced.features, neuron=[*labels[:-1]]), "neuron"), metric=METRIC,
            operation=unweave.engine.Zero(), controls=0, allow_equal=True,
        )  # fmt: skip
    assert (wrong.values - result.values[:-1]).abs().max() > 0.1


@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_gradient_times_change(case: str):
    m, sae = model(), dictionary(case)
    result = features.attribute(m, TOKENS, sae, METRIC)
    x = m.run_with_cache(TOKENS)[1][SITE].requires_grad_()
    logits = m.run_with_hooks(TOKENS, fwd_hooks=[(SITE, lambda tensor, hook: x + 0)])
    (gradient,) = torch.autograd.grad((logits[:, -1, 3] - logits[:, -1, 4]).sum(), x)
    activation = sae.encode(x).detach()
    for cell, label in enumerate(result.coords["feature"][:-1]):
        expected = -(activation[..., label] * (gradient @ sae.W_dec[label])).sum(1)
        torch.testing.assert_close(result.effect_per_sample[cell], expected, rtol=1e-3, atol=1e-4)
    assert result.approximate
    assert {check.why for check in result.rechecks} >= {
        "one of the largest",
        "at random",
        "all cells together",
    }
    exact = features.ablate(m, TOKENS, sae, METRIC)
    for check in result.rechecks:
        if check.labels:
            assert check.exact == pytest.approx(exact.sel(**check.labels).effect.item(), abs=1e-4)


def test_integrated_estimates_sum_to_the_effect_of_all_features():
    m, sae = model(act_fn="gelu"), dictionary()
    result = features.attribute(m, TOKENS, sae, METRIC, source=OTHERS, method="integrated", steps=32)
    [whole] = [check for check in result.rechecks if check.why == "all cells together"]
    assert whole.exact == pytest.approx(result.effect[:-1].sum().item(), rel=0.02)
    local = features.attribute(m, TOKENS, sae, METRIC, source=OTHERS)
    assert abs(local.effect[:-1].sum().item() - whole.exact) > 0.1 * abs(whole.exact)


def test_chosen_features_positions_and_padding():
    m, sae = model(), dictionary()
    mask = torch.ones_like(TOKENS)
    mask[1, :2] = 0
    inputs = Inputs(TOKENS, mask)
    result = features.ablate(m, inputs, sae, METRIC, features=[3, 0], pos=[4], with_error=False)
    assert result.coords["feature"] == (3, 0)
    with features.splice(m, sae) as spliced:
        for cell, feature in enumerate((3, 0)):
            run = unweave.intervene(
                m, inputs, unweave.Site(spliced.features, pos=4, neuron=feature).zero(), allow_equal=True
            )
            expected = run.logits[:, -1, 3] - run.logits[:, -1, 4]
            torch.testing.assert_close(result.per_sample[cell], expected, rtol=1e-4, atol=1e-5)
    normalised = features.patch(m, TOKENS, OTHERS, sae, METRIC, normalise=True)
    assert normalised.baselines["source"].mean().item() == pytest.approx(1.0)
    for kind in ("mean", "resample"):
        assert "ablation" in features.ablate(m, TOKENS, sae, METRIC, kind=kind).provenance["operation"]


def test_a_cache_that_was_made_within_the_splice_is_a_source():
    m, sae = model(), dictionary()
    with features.splice(m, sae):
        _, cache = m.run_with_cache(OTHERS)
    from_cache = features.patch(m, TOKENS, cache, sae, METRIC)
    from_tokens = features.patch(m, TOKENS, OTHERS, sae, METRIC)
    torch.testing.assert_close(from_cache.values, from_tokens.values)
    with pytest.raises(InputError, match=r"wanted a cache with .*hook_sae_acts_post; got one without"):
        features.patch(m, TOKENS, m.run_with_cache(OTHERS)[1], sae, METRIC)


def test_what_is_refused():
    m, sae = model(), dictionary()
    with pytest.raises(InputError, match=r"wanted features from 0 to 19; got \[20\]"):
        features.ablate(m, TOKENS, sae, METRIC, features=[1, 20])
    with pytest.raises(InputError, match="wanted a feature that the patch changes anywhere; got none of 20"):
        features.patch(m, TOKENS, TOKENS, sae, METRIC)
    with pytest.raises(InputError, match="method"):
        features.attribute(m, TOKENS, sae, METRIC, method="exact")
