"""Probes at sites: what they reach by memory, by chance and by leaks is told apart from what they read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.models import put, random_tokens, zeroed_model
from unweave import HookedTransformer, Site, probes
from unweave.analysis.linear import fit_logistic
from unweave.analysis.readable import items_of
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs

VOCAB = 21


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def identity_model(d_vocab: int = VOCAB, length: int = 6, **fields: Any) -> HookedTransformer:
    """Its residual stream is the token, one dimension a token, throughout."""
    model = zeroed_model(d_vocab=d_vocab, d_model=d_vocab, n_ctx=length, n_layers=1, **fields)
    put(model, embed__W_E=torch.eye(d_vocab))
    return model


def score(result: Any, name: str, **where: Any) -> float:
    return result.sel(score=name, **where).values.item()


def test_logistic_regression_against_newton():
    """An independent fit: Newton's method for two classes, bias free, penalty on standardised weights."""
    x = normal(80, 3) * torch.tensor([1.0, 20.0, 0.1]) + 5.0
    y = (x[:, 0] + normal(80, seed=1) > 5.0).long()
    z = torch.cat([(x - x.mean(0)) / x.std(0, correction=0), torch.ones(80, 1, dtype=torch.float64)], 1)
    # Two columns of logits ±w/2 share the penalty: half of that on their difference.
    pull, w = (
        torch.diag(torch.tensor([0.005, 0.005, 0.005, 0.0], dtype=torch.float64)),
        torch.zeros(4).double(),
    )
    for _ in range(50):
        p = torch.sigmoid(z @ w)
        gradient = z.T @ (p - y) / 80 + pull @ w
        w = w - torch.linalg.solve((z.T * (p * (1 - p))) @ z / 80 + pull, gradient)
    found = fit_logistic(x, y, 2, penalty=0.01)
    difference = found(x)[:, 1] - found(x)[:, 0]
    assert (difference - z @ w).abs().max() < 1e-5


def test_a_label_that_is_in_the_stream_is_read_and_selective():
    """The label is the token's parity, which the hand-made stream holds as one direction and tokens as noise."""
    model = zeroed_model(d_vocab=401, d_model=4, n_ctx=6, n_layers=1)
    code = normal(401, 4)
    code[:, 0] = torch.arange(401).double() % 2
    put(model, embed__W_E=code)
    tokens = random_tokens(120, vocab=401)
    found = probes.probe(model, tokens, tokens % 2, Site("resid_post", pos=slice(1, None)))
    site = found.coords["site"][0]
    assert score(found, "held-out", site=site) == 1.0
    assert score(found, "selectivity", site=site) > 0.3
    assert score(found, "majority", site=site) == pytest.approx(0.5, abs=0.08)
    assert score(found, "shuffled", site=site) == pytest.approx(0.5, abs=0.1)
    assert not any("remember" in text for text in found.warnings)


def test_accuracy_by_memory_has_no_selectivity_and_says_so():
    """Random labels of token types in a one-hot stream: the probe is right everywhere, and reads nothing."""
    label = torch.randint(0, 2, (VOCAB,), generator=torch.Generator().manual_seed(3))
    tokens = random_tokens(60, vocab=VOCAB)
    site = Site("resid_post", 0, pos=slice(1, None))
    found = probes.probe(identity_model(), tokens, label[tokens], site)
    name = found.coords["site"][0]
    assert score(found, "held-out", site=name) == 1.0
    assert score(found, "control", site=name) == 1.0
    assert score(found, "selectivity", site=name) == pytest.approx(0.0)
    assert any("may remember token types" in text for text in found.warnings)
    # A control label an item and not a type, the plausible mistake, would have called this selective.
    assert score(found, "held-out", site=name) - score(found, "shuffled", site=name) > 0.3


def test_no_sequence_is_on_both_sides():
    """Labels at random a sequence, sequences repeated: whoever splits by item reads them off, and nothing is there."""
    base = random_tokens(30, vocab=VOCAB, seed=4)
    tokens = base.repeat(4, 1)
    label = torch.randint(0, 2, (30,), generator=torch.Generator().manual_seed(5)).repeat(4)
    items = items_of(Inputs(tokens), Site("resid_post", 0), label, None, 0.3, 0)
    rows = {True: set[tuple[int, ...]](), False: set[tuple[int, ...]]()}
    for place, fitted in zip(items.place.tolist(), items.fitted.tolist(), strict=True):
        rows[fitted].add(tuple(tokens[place // 6].tolist()))
    assert not rows[True] & rows[False]
    assert len(rows[True]) + len(rows[False]) == 30
    x = torch.nn.functional.one_hot(tokens, VOCAB).double()[:, 1:].flatten(1)
    leaky = torch.rand(120, generator=torch.Generator().manual_seed(6)) < 0.7
    leaked = fit_logistic(x[leaky], label[leaky], 2)(x[~leaky]).argmax(-1) == label[~leaky]
    assert leaked.double().mean() > 0.9
    model = identity_model()
    # The same features and labels, split by sequence: chance.
    found = probes.probe(model, tokens, label, Site("resid_post", 0, pos=slice(1, None)))
    name = found.coords["site"][0]
    assert score(found, "held-out", site=name) < 0.65
    assert any("not told apart from the majority" in text for text in found.warnings)


def test_numbers_are_read_by_ridge_against_the_mean():
    model = zeroed_model(d_vocab=40, d_model=3, n_ctx=6, n_layers=2)
    code = normal(40, 3)
    put(model, embed__W_E=code)
    tokens = random_tokens(60, vocab=40)
    number = 3.0 * code[tokens, 1] - 2.0
    found = probes.probe(model, tokens, number, "resid_post")
    assert found.unit == "R squared"
    assert len(found.coords["site"]) == 2
    for name in found.coords["site"]:
        assert score(found, "held-out", site=name) > 0.999
        assert score(found, "mean", site=name) == pytest.approx(0.0, abs=0.05)
        assert score(found, "shuffled", site=name) < 0.1
    # On what it was fitted to, anything fits with as many dimensions as items; the result says so.
    few = probes.probe(
        identity_model(), random_tokens(6, vocab=VOCAB), torch.randn(6), Site("resid_post", 0, pos=3)
    )
    assert any("items to fit in 21 dimensions" in text for text in few.warnings)


def test_padding_and_items_without_a_label_are_left_out():
    tokens, mask = random_tokens(40, vocab=VOCAB), torch.ones(40, 6, dtype=torch.int64)
    mask[:, 4:] = 0
    label = torch.where(tokens % 3 == 0, -1, tokens % 2)
    items = items_of(Inputs(tokens, mask), Site("resid_post", 0), label, None, 0.3, 0)
    assert len(items.label) == int((label[:, :4] >= 0).sum())


def test_one_neuron_is_found_among_many():
    model = zeroed_model(d_vocab=300, d_model=30, n_ctx=6, n_layers=1)
    code = normal(300, 30)
    code[:, 17] += 4.0 * (torch.arange(300) % 2)
    # Two neurons that say the label only together (their sum), and neither alone.
    put(model, embed__W_E=code)
    tokens = random_tokens(80, vocab=300)
    site = Site("resid_post", 0, pos=slice(1, None))
    for select in ("difference", "adaptive"):
        found = probes.sparse_probe(model, tokens, tokens % 2, site, (1, 3), select=select)
        assert found.provenance["neurons"]["1"] == [17]
        assert score(found, "held-out", k=1) > 0.95
        assert score(found, "random neurons", k=1) < 0.75


def test_neurons_that_tell_only_together_are_found_by_weights_not_by_means():
    """Neurons 3 and 8 hold one noise with opposite signs, and half of the label each: a correlated pair."""
    model = zeroed_model(d_vocab=300, d_model=20, n_ctx=6, n_layers=1)
    label, noise = torch.arange(300) % 2, 6.0 * normal(300, seed=1)
    code = normal(300, 20)
    code[:, 3], code[:, 8] = label + noise, label - noise
    code[:, 11] += 0.8 * label
    put(model, embed__W_E=code)
    tokens = random_tokens(80, vocab=300)
    site = Site("resid_post", 0, pos=slice(1, None))
    together = probes.sparse_probe(model, tokens, tokens % 2, site, (2,))
    alone = probes.sparse_probe(model, tokens, tokens % 2, site, (2,), select="difference")
    assert together.provenance["neurons"]["2"] == [3, 8]
    assert 11 in alone.provenance["neurons"]["2"]
    assert score(together, "held-out", k=2) > score(alone, "held-out", k=2) + 0.1


def test_choosing_on_all_items_would_find_what_isn_t_there():
    """Random labels, more neurons than sequences: chosen on what is judged, some neuron always seems to know."""
    model = zeroed_model(d_vocab=80, d_model=400, n_ctx=3, n_layers=1)
    code = normal(80, 400)
    put(model, embed__W_E=code)
    tokens = torch.stack([torch.zeros(60, dtype=torch.int64), torch.arange(1, 61)], 1)
    label = torch.randint(0, 2, (60,), generator=torch.Generator().manual_seed(7))
    site = Site("resid_post", 0, pos=1)
    found = [
        probes.sparse_probe(model, tokens, label, site, (1,), select="difference", seed=s) for s in range(6)
    ]
    honest = sum(score(result, "held-out", k=1) for result in found) / 6
    x = code[tokens[:, 1]]
    leaky = max(((x[:, n] > x[:, n].median()).long() == label).double().mean() for n in range(400))
    assert leaky > 0.65
    assert honest < 0.58
    assert all(any("selectivity flatters" in text for text in result.warnings) for result in found)


def test_what_is_refused():
    model, tokens = identity_model(), random_tokens(20, vocab=VOCAB)
    with pytest.raises(InputError, match="wanted labels \\[20\\], one a sample"):
        probes.probe(model, tokens, torch.zeros(7, dtype=torch.int64))
    with pytest.raises(InputError, match="wanted two classes or more"):
        probes.probe(model, tokens, torch.ones(20, dtype=torch.int64))
    with pytest.raises(InputError, match="wanted at least 4 different sequences"):
        probes.probe(model, tokens[:1].expand(20, -1), tokens % 2)
    with pytest.raises(InputError, match="wanted a site that holds a vector"):
        probes.probe(model, tokens, tokens % 2, "pattern")
    with pytest.raises(InputError, match="wanted numbers of neurons from 1 to 21"):
        probes.sparse_probe(model, tokens, tokens % 2, Site("resid_post", 0), (30,))
    with pytest.raises(InputError, match="whole number of at least 1 for draws"):
        probes.probe(model, tokens, tokens % 2, draws=0)
