"""Planted features are found again, where simpler methods find them not; and what training promises besides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import unweave
from unweave import features, store
from unweave.analysis.features import losses
from unweave.analysis.features.losses import Sparsity, Step
from unweave.analysis.features.revival import Revival
from unweave.core.errors import InputError

OPTIONS: dict[str, Any] = {"steps": 400, "batch_size": 256, "lr": 6e-3}


def planted(tokens: int = 8_000, d: int = 12, n_features: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Twice as many directions as dimensions, two of them on at once on average; and the activations."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randn(n_features, d, generator=draw)
    truth = truth / truth.norm(dim=-1, keepdim=True)
    on = torch.rand(tokens, n_features, generator=draw) < 0.08
    return truth, (on * (0.5 + torch.rand(tokens, n_features, generator=draw))) @ truth


TRUTH, ACTIVATIONS = planted()


@pytest.fixture(scope="module")
def standard() -> features.Trained:
    return features.train(ACTIVATIONS, 24, l1=2.0, **OPTIONS)


def test_a_known_dictionary_is_recovered(standard: features.Trained):
    found = features.mean_max_cosine(TRUTH, standard.dictionary)
    assert found > 0.9
    assert features.mean_max_cosine(standard.dictionary, TRUTH) > 0.9, "and nothing else"
    # What would be found without sparsity, by as many directions: principal ones, and random ones.
    _, _, principal = torch.linalg.svd(ACTIVATIONS - ACTIVATIONS.mean(0), full_matrices=False)
    assert features.mean_max_cosine(TRUTH, torch.cat([principal, -principal])) < 0.7
    random = torch.randn(24, 12, generator=torch.Generator().manual_seed(1))
    assert features.mean_max_cosine(TRUTH, random) < 0.7
    # And before training.
    config = features.DictionaryConfig("standard", 12, 24)
    assert features.mean_max_cosine(TRUTH, features.Dictionary(config)) < 0.7


@pytest.mark.parametrize(("architecture", "least"), [("topk", 0.9), ("batchtopk", 0.85)])
def test_so_it_is_by_the_other_ways(architecture: str, least: float):
    trained = features.train(ACTIVATIONS, 24, architecture=architecture, k=2, **OPTIONS)
    assert features.mean_max_cosine(TRUTH, trained.dictionary) > least
    if architecture == "batchtopk":
        assert trained.dictionary.config.architecture == "jumprelu"
        # The threshold keeps about as many as the batches did.
        active = (trained.dictionary.encode(ACTIVATIONS) != 0).sum(-1).float().mean().item()
        assert active == pytest.approx(2, abs=0.5)


def test_two_seeds_find_the_same(standard: features.Trained):
    other = features.train(ACTIVATIONS, 24, l1=2.0, seed=1, **OPTIONS)
    assert not torch.equal(other.dictionary.W_dec, standard.dictionary.W_dec)
    assert features.mean_max_cosine(other.dictionary, standard.dictionary) > 0.9
    cosines = features.similarity(other.dictionary, standard.dictionary)
    assert cosines.dims == ("feature", "other") and cosines.values.shape == (24, 24)


def test_a_seed_gives_the_same_bits():
    few: dict[str, Any] = {**OPTIONS, "steps": 30}
    first, again = (features.train(ACTIVATIONS, 24, seed=3, **few).dictionary for _ in range(2))
    assert torch.equal(again.W_enc, first.W_enc) and torch.equal(again.b_dec, first.b_dec)


def test_the_dictionary_takes_activations_as_they_were_given():
    """A scale changes nothing but the units; forgetting to scale, or to undo it, does."""
    few: dict[str, Any] = {**OPTIONS, "steps": 100}
    trained = features.train(ACTIVATIONS, 24, l1=2.0, **few)
    large = features.train(100 * ACTIVATIONS, 24, l1=2.0, **few).dictionary
    ours = trained.dictionary
    with torch.no_grad():
        output = ours(ACTIVATIONS)
        torch.testing.assert_close(large(100 * ACTIVATIONS) / 100, output, rtol=0.05, atol=0.02)
        explained = 1 - (output - ACTIVATIONS).pow(2).sum() / (ACTIVATIONS - ACTIVATIONS.mean(0)).pow(2).sum()
    last = trained.history.sel(measure="variance_explained").values[-1].item()
    assert explained.item() == pytest.approx(last, abs=0.05)
    torch.testing.assert_close(ours.W_dec.norm(dim=-1), torch.ones(24))


def test_a_penalty_without_the_decoders_norms_is_evaded(
    standard: features.Trained, monkeypatch: pytest.MonkeyPatch
):
    """The plausible mistake: the penalty of the activations alone, which the decoder grows out of."""

    def careless(
        self: Sparsity, dictionary: features.Dictionary, x: Tensor, warm: float, dead: Tensor
    ) -> Step:
        acts = ((x - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc).relu()
        output = acts @ dictionary.W_dec + dictionary.b_dec
        error = (x - output).pow(2).sum(-1).mean()
        return Step(acts, output, error, error + warm * self.l1 * acts.sum(-1).mean())

    monkeypatch.setattr(losses.Sparsity, "step", careless)
    wrong = features.train(ACTIVATIONS, 24, l1=2.0, **OPTIONS)
    error = [found.history.sel(measure="error").values[-1].item() for found in (standard, wrong)]
    # The penalty bites less, and what is found is something else.
    assert error[1] < 0.7 * error[0]
    assert features.mean_max_cosine(TRUTH, wrong.dictionary) < 0.85


def test_dead_features_begin_again_where_the_loss_is_large():
    config = features.DictionaryConfig("standard", 4, 3, apply_b_dec_to_input=True)
    dictionary = features.Dictionary(config, seed=0)
    optimiser = torch.optim.Adam(dictionary.parameters(), lr=1e-3)
    with torch.no_grad():
        dictionary.b_enc[1] = -1e3
    x = torch.zeros(50, 4)
    x[7] = torch.tensor([0.0, 0.0, 0.0, 9.0])
    dictionary(torch.randn(5, 4)).sum().backward()
    optimiser.step()
    before = {name: weight.detach().clone() for name, weight in dictionary.named_parameters()}
    revival = Revival(3, 10, seed=0)
    revival.silent = torch.tensor([0, 10, 9])
    revival.resample(dictionary, optimiser, x)
    torch.testing.assert_close(dictionary.W_dec[1], torch.tensor([0.0, 0.0, 0.0, 1.0]), atol=1e-2, rtol=0)
    living = before["W_enc"][:, [0, 2]].norm(dim=0).mean()
    assert dictionary.W_enc[:, 1].norm().item() == pytest.approx(0.2 * living.item(), rel=1e-4)
    assert dictionary.b_enc[1] == 0.0 and not optimiser.state[dictionary.W_dec]["exp_avg"][1].any()
    for name, keep in (("W_dec", [0, 2]), ("b_enc", [0, 2])):
        assert torch.equal(dictionary.get_parameter(name)[keep], before[name][keep])
    assert optimiser.state[dictionary.W_dec]["exp_avg"][0].any(), "the living go on as they were"


def test_the_auxiliary_loss_teaches_the_dead_alone():
    dictionary = features.Dictionary(features.DictionaryConfig("topk", 4, 6, k=2), seed=0)
    dead = torch.tensor([False] * 4 + [True] * 2)
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    pre = (x - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc
    sparsity = Sparsity("topk", 2, 0.0)
    sparsity._auxiliary(dictionary, pre, x - x @ dictionary.W_enc @ dictionary.W_dec, dead).backward()
    gradient = dictionary.W_dec.grad
    assert gradient is not None and not gradient[:4].any() and gradient[4:].any()


def test_training_reads_a_store(tmp_path: Path):
    model = unweave.planted.load("induction").model
    tokens = unweave.planted.load("induction").inputs(3)
    site = "blocks.0.hook_resid_post"
    kept = store.write(model, tokens, site, tmp_path / "s", exclude=[0], shard_tokens=50)
    from_store = features.train(kept[site], 16, steps=20, batch_size=32)
    in_memory = features.train(kept[site][:], 16, steps=20, batch_size=32, hook_name=site)
    assert from_store.dictionary.config.hook_name == site
    assert torch.equal(from_store.dictionary.W_dec, in_memory.dictionary.W_dec)
    found = features.max_activating(kept, from_store.dictionary, [3, 0], k=4, batch_size=7)
    acts = from_store.dictionary.encode(kept[site][:])[:, [3, 0]].T
    assert torch.equal(found.values, acts.sort(dim=1, descending=True, stable=True).values[:, :4])
    torch.testing.assert_close(acts.gather(1, found.rows), found.values)
    assert torch.equal(kept.samples[found.rows[1]], found.samples[1])
    with pytest.raises(InputError, match="wanted features from 0 to 15, k of one or more, and a site"):
        features.max_activating(kept, from_store.dictionary, [16])


def test_what_is_saved_is_what_was_trained(standard: features.Trained, tmp_path: Path):
    features.save(standard.dictionary, tmp_path / "s")
    again = features.load(tmp_path / "s")
    assert torch.equal(again.encode(ACTIVATIONS[:9]), standard.dictionary.encode(ACTIVATIONS[:9]))


def test_a_penalty_that_is_too_large_is_said():
    trained = features.train(ACTIVATIONS, 24, l1=100.0, **{**OPTIONS, "steps": 150})
    assert any("features are active at once: take a smaller l1" in text for text in trained.warnings)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: features.train(ACTIVATIONS, 8, architecture="topk"), 'wanted k for "topk" and "batchtopk"'),
        (lambda: features.train(ACTIVATIONS, 8, k=2), 'and none for "standard"; got k=2'),
        (
            lambda: features.train(ACTIVATIONS, 0),
            r"wanted activations \[token, d\], and sizes of one or more",
        ),
        (
            lambda: features.similarity(torch.eye(3), torch.eye(4)),
            "wanted directions of one size; got 3 and 4",
        ),
        (
            lambda: features.similarity(torch.eye(3), torch.zeros(2, 3)),
            "wanted directions that aren't zero; got 2 zero",
        ),
    ],
)
def test_what_is_refused(call: Callable[[], object], told: str):
    with pytest.raises(InputError, match=told):
        call()
