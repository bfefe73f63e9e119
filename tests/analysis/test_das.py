"""The search for a variable on planted models, where it is known which subspace holds it, and in networks that hold none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.models import no_hooks_left, random_model, random_tokens
from tests.equivalent_models import equivalents
from tests.planted.loaded import exact
from unweave import planted
from unweave.analysis.das import (
    Alignment,
    Pairs,
    distributed_alignment_search,
    draw_pairs,
    interchange_accuracy,
    untrained_twin,
)
from unweave.core.errors import InputError
from unweave.engine.site import Site

WITHOUT_REDUNDANCY = tuple(name for name in planted.names() if name not in ("and", "or", "backup", "cancel"))
# So many dimensions hold the last step's value: a category's, or a number's.
RANKS = {"fraction-of-previous": 1}
# A number's error is small, and so is its gradient's bend: it takes the default's steps.
STEPS = {"fraction-of-previous": 200}


def variable_of(it: planted.PlantedModel) -> Callable[[Tensor], Tensor]:
    return lambda tokens: it.algorithm(tokens)[:, -1]


@cache
def pairs_of(name: str) -> tuple[Pairs, Pairs]:
    it = exact(name)
    return draw_pairs(it.inputs(4), variable_of(it), lambda tokens, value: value, n=96)


@pytest.mark.parametrize("name", WITHOUT_REDUNDANCY)
def test_the_planted_variable_is_found_and_not_in_the_untrained_twin(name: str):
    it = exact(name)
    site = Site("resid_post", it.model.cfg.n_layers - 1, pos=-1)
    searched, held_out = pairs_of(name)
    rank = RANKS.get(name, 3)
    found = distributed_alignment_search(
        it.model, site, searched, held_out, rank=rank, steps=STEPS.get(name, 80), search_seeds=(0,)
    )
    by_run = dict(zip(found.result.coords["run"], found.result.values.tolist(), strict=True))
    assert found.accuracy > 0.95, by_run
    assert by_run["whole site"] == 1.0
    assert by_run["random rotation"] < found.accuracy - 0.2
    assert by_run["untrained twin"] < 0.7
    assert not [text for text in found.warnings if "untrained network" in text]
    # Its rows are orthonormal, and lie in the coordinates of the step that the logits read.
    [basis] = found.bases
    torch.testing.assert_close(basis @ basis.T, torch.eye(rank).double())
    read = (it.model.W_U != 0).any(1)
    assert basis[:, read].pow(2).sum() > 0.7 * rank
    assert no_hooks_left(it.model)
    assert all(parameter.grad is None for parameter in it.model.parameters())


def seen(number: int) -> Callable[[Tensor], Tensor]:
    return lambda tokens: (tokens == number).any(1).long()


def test_one_of_two_variables_at_a_site():
    """In the AND, at the MLP's input: interchanging all of the site moves both, and the variable's own direction is one."""
    it = exact("and")
    searched, held_out = draw_pairs(
        it.inputs(4), seen(1), lambda tokens, value: value & seen(2)(tokens), n=128
    )
    site = Site("resid_mid", 0, pos=-1)
    found = distributed_alignment_search(
        it.model, site, searched, held_out, rank=1, steps=120, search_seeds=(0, 1)
    )
    by_run = dict(zip(found.result.coords["run"], found.result.values.tolist(), strict=True))
    assert found.accuracy > 0.95
    assert by_run["whole site"] < 0.9, "the whole site is the mistake here: the other variable moves too"
    at = it.basis.index(next(name for name in it.basis if name.startswith("seen_1")))
    for basis in found.bases:
        assert basis[0, at].abs() > 0.85
    [text] = [text for text in found.warnings if "does more" in text]
    assert "the site holds other variables as well, or the subspace moves a dormant direction" in text
    # The direction that holds it, by hand, and that of the other one.
    true = torch.zeros(it.model.cfg.d_model).double()
    true[at] = 1.0
    assert interchange_accuracy(it.model, site.at(direction=true), held_out).mean() == 1.0
    assert interchange_accuracy(it.model, site.at(direction=true.roll(1)), held_out).mean() < 0.9


def test_pairs_by_hand():
    tokens = torch.tensor([[0, a, b] for a in (1, 2, 3) for b in (1, 2, 3)])
    first = lambda t: t[:, 1]  # noqa: E731
    searched, held_out = draw_pairs(tokens, first, lambda t, value: value * 10 + t[:, 2], n=20, seed=3)
    for pairs in (searched, held_out):
        assert len(pairs.base) == 20
        assert torch.equal(pairs.expected, pairs.source[:, 1] * 10 + pairs.base[:, 2])
        changed = (pairs.source[:, 1] != pairs.base[:, 1]).sum()
        assert changed == 10
    rows = [{tuple(row) for row in torch.cat([p.base, p.source]).tolist()} for p in (searched, held_out)]
    assert not rows[0] & rows[1], "no sequence is in both"


def test_a_search_that_fits_its_pairs_is_told_so():
    """Expected outputs that are noise: on few pairs a large subspace of a random model fits them, and no others."""
    model = random_model(d_model=24, d_head=4, d_vocab=6)
    draw = torch.Generator().manual_seed(0)

    def noise(seed: int) -> Pairs:
        base, source = random_tokens(8, vocab=6, seed=seed), random_tokens(8, vocab=6, seed=seed + 1)
        return Pairs(base, source, torch.randint(0, 6, (8,), generator=draw))

    found = distributed_alignment_search(
        model, Site("resid_mid", 0), noise(0), noise(2), rank=12, steps=150, search_seeds=(0,), twin=False
    )
    assert found.on_own_pairs["trained"] > found.accuracy + 0.1
    assert any("it fits its pairs" in text for text in found.warnings)
    assert any("no untrained network was searched" in text for text in found.warnings)
    assert found.losses.shape == (1, 150)
    assert found.losses[0, -10:].mean() < found.losses[0, :10].mean()


def test_pairs_that_are_in_both_are_told():
    it = exact("previous-token")
    searched, _ = pairs_of("previous-token")
    found = search(it, searched, searched, steps=2)
    assert any(
        text == f"{len(searched.base)} of the held-out pairs were searched with too"
        for text in found.warnings
    )


def test_the_same_seed_finds_the_same():
    it = exact("previous-token")
    first, second = (search(it, *pairs_of("previous-token"), steps=5) for _ in range(2))
    assert torch.equal(first.bases[0], second.bases[0])


def search(it: planted.PlantedModel, searched: Pairs, held_out: Pairs, **options: Any) -> Alignment:
    site = Site("resid_post", it.model.cfg.n_layers - 1, pos=-1)
    given: dict[str, Any] = {"rank": 3, "search_seeds": (0,), "twin": False, **options}
    return distributed_alignment_search(it.model, site, searched, held_out, **given)


def test_an_untrained_twin_has_other_weights_and_the_same_config():
    model = exact("induction").model
    twin = untrained_twin(model)
    assert twin.cfg == dataclasses.replace(model.cfg, seed=twin.cfg.seed)
    assert not torch.equal(twin.W_E, model.W_E)


def test_invariance_of_verdicts():
    """The same subspace, moved along, is as good in a model with other weights and the same function."""
    it = exact("and")
    _, held_out = draw_pairs(it.inputs(4), seen(1), lambda tokens, value: value & seen(2)(tokens), n=64)
    basis = torch.randn(2, it.model.cfg.d_model, generator=torch.Generator().manual_seed(0)).double()
    site = Site("resid_mid", 0, pos=-1)
    wanted = interchange_accuracy(it.model, site.at(direction=basis), held_out)
    for what, same in equivalents(it.model).items():
        found = interchange_accuracy(same.model, site.at(direction=same.stream(basis)), held_out)
        assert torch.equal(found, wanted), what


def test_refusals():
    it = exact("previous-token")
    searched, held_out = pairs_of("previous-token")
    with pytest.raises(InputError, match=r"wanted a rank from 1 to \d+, the site's dimensions; got 99"):
        search(it, searched, held_out, rank=99)
    with pytest.raises(InputError, match="wanted a site of one hook without a direction"):
        distributed_alignment_search(exact("and").model, Site("z", 0), searched, held_out, rank=1, steps=0)
    with pytest.raises(InputError, match="wanted base and source"):
        Pairs(searched.base, searched.source[:2], searched.expected)
    with pytest.raises(InputError, match="wanted sequences of which some change the output"):
        draw_pairs(it.inputs(2), variable_of(it), lambda tokens, value: tokens[:, 0])
    with pytest.raises(InputError, match="wanted at least four sequences"):
        draw_pairs(it.inputs(2)[:3], variable_of(it), lambda tokens, value: value)
