"""Edge patching finds exactly what was planted, and says where one edge at a time can't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.edges import naive
from tests.analysis.edges.test_rewired import model_of, two_runs
from tests.model.small import assert_equal_to
from tests.planted.loaded import exact
from unweave import LogitDifference, Probability, planted
from unweave.analysis import edges
from unweave.analysis.edges.senders import shape_of, writing
from unweave.core.results import Result
from unweave.engine import Interchange, Zero

NONE, SOME = 1e-6, 1e-3
VARIANTS = [*((name, 0) for name in planted.names()), ("induction", 1), ("and", 1)]


def shuffled(tensor: Tensor, seed: int) -> Tensor:
    return tensor[torch.randperm(len(tensor), generator=torch.Generator().manual_seed(seed))]


def change_of(model: Any, tokens: Tensor) -> Any:
    """A metric that no effect escapes: the largest change of any logit at any position."""
    with torch.no_grad():
        clean = model(tokens)
    return lambda logits: (logits - clean).abs().flatten(1).amax(1)


def effects(result: Result) -> dict[str, float]:
    return dict(zip(map(str, result.coords["edge"]), result.effect.tolist(), strict=True))


def notable(result: Result) -> set[str]:
    """The edges with an effect; the others must have none."""
    found = effects(result)
    assert all(abs(effect) <= NONE or abs(effect) >= SOME for effect in found.values())
    return {edge for edge, effect in found.items() if abs(effect) >= SOME}


def on_contrast(name: str, *, noising: bool = True, zero: bool = False) -> Result:
    """Every edge of a planted model on its own contrast, by the outputs that this tells apart."""
    loaded = exact(name)
    contrast = loaded.contrast
    assert contrast is not None
    clean, other = contrast.clean, contrast.corrupted
    right, wrong = (int(loaded.read(loaded.model(run))[0, contrast.position]) for run in (clean, other))
    metric: Any = LogitDifference(right, wrong, pos=contrast.position)
    if loaded.numerical:
        metric = lambda logits: logits[:, contrast.position, 0]  # noqa: E731
    run, source = (clean, other) if noising else (other, clean)
    return edges.patch(loaded.model, run, Zero() if zero else source, metric)


@pytest.mark.parametrize("name", ["plain", "parallel, multiplied", "attention only"])
def test_each_edge_alone_is_what_the_definition_says(name: str):
    model, (tokens, other) = model_of(name), two_runs()
    metric = LogitDifference(3, 4, pos=[2, -1])
    result = edges.patch(model, tokens, other, metric)
    instead = naive.sent(model, other)
    possible = edges.possible(model)
    assert result.dims == ("edge",) and result.coords["edge"] == tuple(map(str, possible))
    assert result.per_sample is not None and result.per_sample.shape == (len(possible), 3)
    for number in range(0, len(possible), 5):
        logits = naive.run(model, tokens, instead, [possible[number]])
        wanted = (logits[..., 3] - logits[..., 4])[:, [2, -1]].mean(1)
        assert_equal_to(1e-9, result.per_sample[number], wanted, str(possible[number]))
    logits = model(other)
    assert_equal_to(1e-9, result.baselines["source"], (logits[..., 3] - logits[..., 4])[:, [2, -1]].mean(1))
    some = edges.patch(model, tokens, other, metric, edges=["a0.h1->logits", possible[7]], normalise=True)
    shares = (result.values - result.baselines["clean"].mean()) / (
        result.baselines["source"].mean() - result.baselines["clean"].mean()
    )
    assert_equal_to(1e-9, some.values, shares[[result.coords["edge"].index("a0.h1->logits"), 7]])
    assert not result.approximate
    # One run an edge, each receiver's edges and each sender's together, and all.
    assert result.provenance["plan"]["runs"] >= len(possible) + 1


@pytest.mark.parametrize(("name", "decoys"), VARIANTS)
def test_it_recovers_exactly_the_planted_edges_that_carry_tokens(name: str, decoys: int):
    loaded = exact(name, decoys)
    tokens = shuffled(loaded.inputs(), 0)[:24]
    metric = change_of(loaded.model, tokens)
    assert notable(edges.patch(loaded.model, tokens, shuffled(tokens, 1), metric, wholes=False)) == set(
        map(str, loaded.token_edges)
    )


@pytest.mark.parametrize(("name", "decoys"), VARIANTS)
def test_it_recovers_all_planted_edges_from_runs_that_differ_in_positions_and_length(name: str, decoys: int):
    """Between runs of one length positions and BOS are the same: cut edges then carry what is sent at another
    position, or in a shorter sequence."""
    loaded = exact(name, decoys)
    tokens = shuffled(loaded.inputs(), 0)[:24]
    n_pos, found, metric = tokens.shape[1], set[str](), change_of(loaded.model, tokens)
    shorter = shuffled(loaded.inputs(n_pos - 3), 2)[: len(tokens)]
    _, cache = loaded.model.run_with_cache(shorter, names_filter=writing(shape_of(loaded.model)))
    places = torch.arange(n_pos) % (n_pos - 2)
    for source in (
        Interchange(shuffled(tokens, 1), pos=[*range(1, n_pos), 0]),
        Interchange(shuffled(tokens, 1), pos=[2, 0, 3, 5, 1, 4]),
        {name: tensor[:, places] for name, tensor in cache.items()},
    ):
        found |= notable(edges.patch(loaded.model, tokens, source, metric, wholes=False))
    # The dormant edges of a backup are those that no patch of one edge can show; see below.
    assert found <= set(map(str, loaded.edges))
    assert set(map(str, loaded.edges)) - found <= set(map(str, loaded.dormant))
    if name != "backup":
        assert found == set(map(str, loaded.edges))


def test_the_mistake_of_patching_a_component_for_all_who_read_it_finds_others():
    """Induction: what the first head sends is read as keys alone; patched whole, it can't be told as what."""
    loaded = exact("induction")
    contrast = loaded.contrast
    assert contrast is not None
    found = on_contrast("induction")
    assert notable(found) == {"embed->a0.h0<v>", "a0.h0->a1.h0<k>", "a1.h0->logits"}
    every = ["a0.h0->a1.h0<q>", "a0.h0->a1.h0<k>", "a0.h0->a1.h0<v>", "a0.h0->logits"]
    whole = edges.patch_sets(
        loaded.model,
        contrast.clean,
        contrast.corrupted,
        LogitDifference(2, 0, pos=contrast.position),
        {"a0.h0": every, "not k": [edge for edge in every if "<k>" not in edge]},
    )
    assert whole.effect.tolist() == pytest.approx([-10, 0], abs=1e-9)


def test_of_an_and_noising_finds_the_heads_and_denoising_can_t_and_says_so():
    heads = {"a0.h0->m0", "a0.h1->m0"}
    noised, denoised = on_contrast("and"), on_contrast("and", noising=False)
    assert heads <= notable(noised)
    assert noised.warnings == ()
    assert notable(denoised) == {"m0->logits"}
    [text] = [text for text in denoised.warnings if text.startswith("edges into m0 ")]
    assert "have an effect of 10 together, and of at most 0 alone" in text
    assert "patching one at a time misses them" in text


def test_of_an_or_denoising_finds_the_heads_and_noising_can_t_and_says_so():
    heads = {"a0.h0->m0", "a0.h1->m0"}
    noised, denoised = on_contrast("or"), on_contrast("or", noising=False)
    assert notable(noised) == {"m0->logits"}
    assert any(
        text.startswith("edges into m0 ") and "stand in for each other" in text for text in noised.warnings
    )
    assert heads <= notable(denoised)
    assert not any(text.startswith("edges into m0 ") for text in denoised.warnings)


def test_of_a_backup_what_takes_over_is_told_where_edges_are_zeroed():
    found = on_contrast("backup", zero=True)
    assert effects(found)["a0.h0->logits"] == pytest.approx(-10)
    [text] = [text for text in found.warnings if text.startswith("edges out of a0.h0 ")]
    assert "of up to 10 alone, and of" in text
    assert "or something takes over when all are gone" in text
    # Noising wakes nobody: nothing is hidden, and nothing said.
    assert notable(on_contrast("backup")) == {"embed->a0.h0<v>", "a0.h0->logits"}
    assert on_contrast("backup").warnings == ()


def test_edges_that_cancel_are_found_each_and_told():
    found = on_contrast("cancel")
    assert {"a0.h0->logits", "a0.h1->logits", "a0.h2->logits"} <= notable(found)
    told = [text for text in found.warnings if text.endswith("a circuit without both explains as much")]
    assert any(
        text.startswith("a0.h1->logits and a0.h2->logits have effects of about 0.25 alone") for text in told
    )
    assert not any("a0.h0" in text for text in told)


def test_zero_far_from_anything_sent_and_probabilities_and_no_gap_are_told():
    found = on_contrast("and", zero=True)
    assert any(text.startswith("zero is nothing that ") for text in found.warnings)
    model, (tokens, other) = model_of("plain"), two_runs()
    told = edges.patch(model, tokens, other, Probability(3), wholes=False).warnings
    assert any(text.startswith("a probability saturates at 0 and 1") for text in told)
    flat = edges.patch(model, tokens, other, lambda logits: 1 + 0 * logits[:, -1, 3])
    assert any("next to nothing for edges to explain" in text for text in flat.warnings)
    assert edges.patch(model, tokens, other, LogitDifference(3, 4), wholes=False).warnings == ()


@pytest.mark.parametrize("kind", ["number", "each sample"])
def test_a_metric_may_be_a_function(kind: str):
    model, (tokens, other) = model_of("plain"), two_runs()
    metric: Any = (lambda x: x[:, -1, 3].mean()) if kind == "number" else (lambda x: x[:, -1, 3])
    found = edges.patch(model, tokens, other, metric)
    assert (found.per_sample is None) == (kind == "number")
    wanted = edges.run(model, tokens, other, ["a0.h1->a1.h0<v>"])[:, -1, 3].mean()
    assert found.sel(edge="a0.h1->a1.h0<v>").values.item() == pytest.approx(wanted.item())
