"""Measures of a dictionary, beside the same worked out by hand from caches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import unweave
from tests.analysis.features.planted import SITE, TOKENS, dictionary, model
from unweave import Inputs, features


def cross_entropy(logits: Tensor, tokens: Tensor) -> float:
    """The mean over samples of each one's mean."""
    each = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    return each.mean().item()


@torch.no_grad()
def test_each_measure_by_hand():
    m, sae = model(), dictionary("jumprelu")
    found = features.evaluate(m, TOKENS, sae, batch_size=2)
    logits, cache = m.run_with_cache(TOKENS)
    x = cache[SITE].flatten(0, 1)
    acts, output = sae.encode(x), sae(x)
    assert found.tokens == 18
    assert found.l0 == pytest.approx((acts > 0).sum(-1).float().mean().item())
    torch.testing.assert_close(found.density.values, (acts > 0).float().mean(0))
    assert found.dead == [feature for feature in range(20) if not (acts[:, feature] > 0).any()]
    error = (x - output).pow(2).sum()
    explained = 1 - error / (x - x.mean(0)).pow(2).sum()
    assert found.variance_explained == pytest.approx(explained.item(), rel=1e-4)
    # The plausible mistake: variance about zero, which a mean alone explains.
    assert found.variance_explained != pytest.approx((1 - error / x.pow(2).sum()).item(), rel=1e-2)
    assert found.norm_ratio == pytest.approx(
        (output.norm(dim=-1).sum() / x.norm(dim=-1).sum()).item(), rel=1e-4
    )
    cosine = torch.cosine_similarity(x, output, dim=-1).mean().item()
    assert found.cosine == pytest.approx(cosine, rel=1e-4)

    def loss(new: Tensor) -> float:
        hooked = m.run_with_hooks(TOKENS, fwd_hooks=[(SITE, lambda t, hook: new.expand_as(t).clone())])
        return cross_entropy(hooked, TOKENS)

    clean, recons = cross_entropy(logits, TOKENS), loss(sae(cache[SITE]))
    zero, mean = loss(torch.zeros(8)), loss(x.mean(0))
    assert found.metric.values.tolist() == pytest.approx([clean, recons, zero, mean], rel=1e-4)
    assert found.recovered("zero") == pytest.approx((zero - recons) / (zero - clean), rel=1e-3)
    assert found.recovered() == pytest.approx((mean - recons) / (mean - clean), rel=1e-3)
    assert (
        "features were active at no token, of which there were only 18" in " ".join(found.warnings)
        or not found.dead
    )
    assert repr(found).startswith("Evaluation on 18 tokens: L0")


@torch.no_grad()
def test_a_transcoder_is_measured_at_the_site_that_it_writes():
    m, read, written = model(), "blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"
    sae = dictionary("transcoder", d_out=8, apply_b_dec_to_input=False, hook_name=read, hook_name_out=written)
    found = features.evaluate(m, TOKENS, sae)
    _, cache = m.run_with_cache(TOKENS)
    x, y = cache[read].flatten(0, 1), cache[written].flatten(0, 1)
    explained = 1 - (y - sae(x)).pow(2).sum() / (y - y.mean(0)).pow(2).sum()
    assert found.variance_explained == pytest.approx(explained.item(), rel=1e-4)
    # The plausible mistake: comparing with what it reads.
    wrong = 1 - (x - sae(x)).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    assert abs(found.variance_explained - wrong.item()) > 0.1
    # And its features are ablated there, made of what it reads.
    result = features.ablate(m, TOKENS, sae, unweave.LogitDifference(3, 4))
    feature = result.coords["feature"][0]
    assert isinstance(feature, int)
    change = sae.encode(cache[read])[..., feature, None] * sae.W_dec[feature]
    logits = m.run_with_hooks(TOKENS, fwd_hooks=[(written, lambda tensor, hook: tensor - change)])
    torch.testing.assert_close(
        result.per_sample[0], logits[:, -1, 3] - logits[:, -1, 4], rtol=1e-4, atol=1e-4
    )


def test_padding_is_left_out():
    m, sae = model(), dictionary()
    mask = torch.ones_like(TOKENS)
    mask[0, :3] = 0
    assert features.evaluate(m, Inputs(TOKENS, mask), sae).tokens == 15
    assert (
        features.evaluate(m, TOKENS, sae, attention_mask=mask).l0
        == features.evaluate(m, Inputs(TOKENS, mask), sae).l0
    )


def test_a_perfect_dictionary_and_one_that_shrinks():
    m = model()
    config = features.DictionaryConfig("standard", 8, 16, hook_name=SITE, apply_b_dec_to_input=False)
    both = torch.cat([torch.eye(8), -torch.eye(8)])
    weights = {"W_enc": both.T, "W_dec": both, "b_enc": torch.zeros(16), "b_dec": torch.zeros(8)}
    perfect = features.evaluate(m, TOKENS, features.Dictionary(config, weights))
    assert perfect.variance_explained == pytest.approx(1.0) and perfect.recovered() == pytest.approx(
        1.0, abs=1e-3
    )
    assert perfect.l0 == pytest.approx(8.0)
    shrunk = features.evaluate(m, TOKENS, features.Dictionary(config, {**weights, "W_dec": 0.8 * both}))
    assert shrunk.norm_ratio == pytest.approx(0.8, rel=1e-4)
    assert any("outputs are 20% shorter than what they stand for" in text for text in shrunk.warnings)


def test_the_planted_feature_restores_the_output_and_gradients_miss_it():
    """After its first layer the induction model holds "previous:1"; a saturated head reads it."""
    planted = unweave.planted.load("induction")
    contrast = planted.contrast
    size = len(planted.basis)
    config = features.DictionaryConfig("standard", size, size, hook_name=SITE)
    weights = {
        "W_enc": torch.eye(size),
        "W_dec": torch.eye(size),
        "b_enc": torch.zeros(size),
        "b_dec": torch.zeros(size),
    }
    sae = features.Dictionary(config, weights)
    right, wrong = (
        planted.read(planted.model(run))[0, contrast.position] for run in (contrast.clean, contrast.corrupted)
    )
    metric = unweave.LogitDifference(int(right), int(wrong), pos=contrast.position)
    result = features.patch(planted.model, contrast.corrupted, contrast.clean, sae, metric, normalise=True)
    effects = {
        planted.basis[f] if isinstance(f, int) else f: v
        for f, v in zip(result.coords["feature"], result.values.tolist(), strict=True)
    }
    assert effects["previous:1"] == pytest.approx(1.0, abs=1e-4)
    assert all(abs(v) < 1e-4 for name, v in effects.items() if name != "previous:1"), effects
    estimated = features.attribute(planted.model, contrast.corrupted, sae, metric, source=contrast.clean)
    assert any("gradients vanish or cancel there" in text for text in estimated.warnings)
