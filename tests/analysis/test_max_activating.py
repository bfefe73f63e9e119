"""Most active examples against sorting everything, and the controls that keep them honest."""

from __future__ import annotations

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import Inputs, Site
from unweave.analysis import max_activating
from unweave.core.errors import InputError

TOKENS = small_tokens(40)
SITE = Site("post", 1)


def test_it_finds_what_sorting_all_of_it_finds_in_any_batches():
    model = small_model()
    active = model.run_with_cache(TOKENS)[1]["post", 1]
    for size in (40, 7):
        found = max_activating(model, TOKENS.split(size), SITE, k=4, context=(2, 1))
        best, at = active.max(1)
        value, sample = best.topk(4, 0)
        assert_equal_to(1e-5, found.result.values[:, :4], value.mT)
        for unit in range(active.shape[2]):
            if best[:, unit].topk(5).values.unique().numel() < 5:
                continue  # a tie, as of neurons that are off
            assert found.samples[unit, :4].tolist() == sample[:, unit].tolist()
            for example in range(4):
                row, pos = int(sample[example, unit]), int(at[sample[example, unit], unit])
                assert int(found.positions[unit, example]) == pos
                wanted = [int(TOKENS[row, p]) if 0 <= p < 7 else -1 for p in range(pos - 2, pos + 2)]
                assert found.windows[unit, example].tolist() == wanted
    # The k most active positions, not sequences, would give one sequence several times.
    flat = active.flatten(0, 1).topk(4, 0).indices // 7
    assert any(len(set(flat[:, unit].tolist())) < 4 for unit in range(active.shape[2]))


def test_random_examples_and_quantiles_are_real_positions():
    model = small_model()
    active = model.run_with_cache(TOKENS)[1]["post", 1]
    found = max_activating(model, TOKENS.split(9), SITE, k=2, n_random=6, reservoir=10_000)
    for example, label in enumerate(found.result.coords["example"]):
        for unit in (0, 3, 9):
            at = active[found.samples[unit, example], found.positions[unit, example], unit]
            assert found.result.values[unit, example].item() == pytest.approx(at.item(), abs=1e-5)
            token = TOKENS[found.samples[unit, example], found.positions[unit, example]]
            assert found.windows[unit, example, found.before] == token, label
    ordered = active.flatten(0, 1).sort(0).values
    assert_equal_to(1e-5, found.result.sel(example="quantile 0.9").values, ordered[int(0.9 * 280)])


def test_the_reservoir_is_bounded_and_even():
    """One of 280 positions, kept over many seeds: late batches are drawn as often as early ones."""
    model = small_model(n_layers=1)
    late = 0
    for seed in range(60):
        found = max_activating(
            model, TOKENS.split(20), Site("post", 0), units=[0], k=1, n_random=1, reservoir=1, seed=seed
        )
        assert found.result.provenance["quantiles from"] == 1
        late += int(found.samples[0, 1] >= 20)
    assert 15 <= late <= 45


def test_heads_features_and_padding():
    model = small_model(n_heads=2)
    mask = torch.ones_like(TOKENS)
    mask[:, 5:] = 0
    given = Inputs(TOKENS, mask)
    found = max_activating(model, given, Site("result", 0), k=3)
    held = model.run_with_cache(TOKENS, attention_mask=mask, names_filter="blocks.0.attn.hook_result")[1]
    norms = held["result", 0].norm(dim=-1)[:, :5].amax(1).topk(3, 0).values.mT
    assert_equal_to(1e-5, found.result.values[:, :3], norms)
    assert int(found.positions.max()) < 5
    direction = torch.randn(8, generator=torch.Generator().manual_seed(0))
    along = max_activating(
        model, TOKENS, Site("resid_post", 0), feature=lambda x: (x @ direction)[..., None], k=1, skip_first=2
    )
    stream = model.run_with_cache(TOKENS)[1]["resid_post", 0] @ direction
    assert along.result.values[0, 0].item() == pytest.approx(stream[:, 2:].max().item(), abs=1e-4)


def test_it_says_what_top_examples_hide():
    model = small_model(n_layers=1)
    with torch.no_grad():
        model.blocks[0].mlp.b_in[0] = -100.0
        model.blocks[0].mlp.b_in[1] = 100.0
    warnings = max_activating(model, TOKENS, Site("post", 0), units=[0, 1], k=40).result.warnings
    assert any("hold" in text and "them all" in text for text in warnings)
    assert any("never above 0" in text and "[0]" in text for text in warnings)
    assert any("above half of their maximum" in text and "[1]" in text for text in warnings)
    first = max_activating(
        model,
        TOKENS,
        Site("resid_post", 0),
        feature=lambda x: (torch.arange(7) == 0).float().expand(40, 7)[..., None],
    )
    assert any("most active at the first position" in text for text in first.result.warnings)


def test_what_is_refused():
    model = small_model()
    with pytest.raises(InputError, match="wanted a site in one layer"):
        max_activating(model, TOKENS, Site("post"))
    with pytest.raises(InputError, match="wanted tokens to look through"):
        max_activating(model, [], SITE)
    with pytest.raises(InputError, match="from the feature"):
        max_activating(model, TOKENS, SITE, feature=lambda x: x[0])
