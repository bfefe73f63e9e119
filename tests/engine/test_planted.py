"""Exact patching on planted models: it finds what was planted, and says where one way of asking misses it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.planted.loaded import exact
from unweave import LogitDifference, Site, intervene, planted, sweep
from unweave.analysis import noising_and_denoising
from unweave.core.edges import Node, possible_edges
from unweave.core.errors import InputError

NONE, SOME = 1e-6, 1e-3


def shuffled(tensor: Tensor, seed: int) -> Tensor:
    return tensor[torch.randperm(len(tensor), generator=torch.Generator().manual_seed(seed))]


def site_of(node: Node) -> Site:
    """Where all that a node writes is found."""
    return Site(node.writes, head=node.head)


@pytest.mark.parametrize(
    ("name", "decoys"), [*((name, 0) for name in planted.names()), ("induction", 1), ("backup", 1)]
)
def test_patching_every_edge_finds_the_planted_dependence_and_nothing_else(name: str, decoys: int):
    """Each edge carries what its sender sends in another sequence; the circuit's change the output, no others do."""
    loaded = exact(name, decoys)
    model, cfg = loaded.model, loaded.model.cfg
    tokens = shuffled(loaded.inputs(), 0)[:48]
    edges = list(
        possible_edges(
            cfg.n_layers,
            cfg.n_heads,
            mlp=not cfg.attn_only,
            pos_embed=cfg.positional_embedding_type == "standard",
        )
    )
    hooks = sorted({edge.sender.writes for edge in edges})
    here, there = (model.run_with_cache(run, names_filter=hooks)[1] for run in (tokens, shuffled(tokens, 1)))
    patches: dict[str, Any] = {}
    for edge in edges:
        change = there[edge.sender.writes] - here[edge.sender.writes]
        change = change if edge.sender.head is None else change[:, :, edge.sender.head]
        # A receiving head's input has a dimension of heads.
        change = change if edge.receiver.head is None else change[:, :, None]
        patches[str(edge)] = Site(edge.reads, head=edge.receiver.head).add(change)
    with torch.no_grad():
        clean = model(tokens)

    def changed(logits: Tensor) -> Tensor:
        return (logits - clean).abs().flatten(1).amax(1)

    found = sweep(model, tokens, patches, metric=changed, controls=0)
    assert found.per_sample is not None
    largest = dict(zip(patches, found.per_sample.amax(1).tolist(), strict=True))
    assert {edge for edge, effect in largest.items() if effect >= SOME} == set(map(str, loaded.token_edges))
    assert all(effect <= NONE for edge, effect in largest.items() if effect < SOME)


CASES = [
    (name, decoys, number)
    for name in planted.names()
    for decoys in ((0, 2) if name == "backup" else (0,))
    for number in range(len(exact(name).expectations))
]


@pytest.mark.parametrize(("name", "decoys", "number"), CASES)
def test_every_expectation_comes_true(name: str, decoys: int, number: int):
    loaded = exact(name, decoys, 5 if decoys else 0)
    expected, contrast = loaded.expectations[number], loaded.contrast
    assert contrast is not None
    clean, corrupted = contrast.clean, contrast.corrupted
    base = corrupted if expected.operation == "denoise" else clean
    every = loaded.inputs(clean.shape[1] - 1)
    sites = [site_of(node) for node in expected.nodes]
    changes = [
        {
            "noise": lambda site: site.interchange(corrupted),
            "denoise": lambda site: site.interchange(clean),
            "zero": lambda site: site.zero(),
            "mean": lambda site: site.mean(every),
        }[expected.operation](site)
        for site in sites
    ]

    def said(logits: Tensor) -> float:
        return loaded.read(logits)[0, contrast.position].item()

    before = said(loaded.model(base))
    after = said(intervene(loaded.model, base, changes, allow_equal=True).logits)
    if not expected.changes:
        assert after == pytest.approx(before, abs=1e-9)
    elif expected.operation == "denoise":
        assert after == pytest.approx(said(loaded.model(clean)), abs=1e-9)
    else:
        assert abs(after - before) > SOME


def compared(name: str, over: Any = None) -> Any:
    loaded = exact(name)
    contrast = loaded.contrast
    assert contrast is not None
    at = contrast.position
    right, wrong = (int(loaded.algorithm(run)[0, at]) for run in (contrast.clean, contrast.corrupted))
    return noising_and_denoising(
        loaded.model,
        contrast.clean,
        contrast.corrupted,
        LogitDifference(right, wrong, pos=at),
        over=over,
        mean_of=loaded.inputs(contrast.clean.shape[1] - 1),
    )


PAIR = {
    "a0.h0": Site("z", 0, head=0),
    "a0.h1": Site("z", 0, head=1),
    "both": [Site("z", 0, head=0), Site("z", 0, head=1)],
}


def test_of_an_and_only_noising_finds_either_head_and_the_result_says_so():
    found = compared("and", PAIR)
    noising, denoising = (found.sel(operation=name).values.tolist() for name in ("noising", "denoising"))
    assert noising == pytest.approx([1, 1, 1])
    assert denoising == pytest.approx([0, 0, 1])
    told = [text for text in found.warnings if "as in an AND" in text]
    assert [text.split()[0] for text in told] == ["a0.h0", "a0.h1"]
    assert not any("as in an OR" in text for text in found.warnings)


def test_of_an_or_only_denoising_finds_either_head_and_the_result_says_so():
    found = compared("or", PAIR)
    noising, denoising = (found.sel(operation=name).values.tolist() for name in ("noising", "denoising"))
    assert noising == pytest.approx([0, 0, 1])
    assert denoising == pytest.approx([1, 1, 1])
    told = [text for text in found.warnings if "as in an OR" in text]
    assert [text.split()[0] for text in told] == ["a0.h0", "a0.h1"]
    assert not any("as in an AND" in text for text in found.warnings)


def test_of_a_backup_ablation_misses_the_head_that_works_and_the_result_says_so():
    found = compared("backup")
    shares = {
        name: found.sel(operation=name, component="a0.h0").values.item() for name in found.coords["operation"]
    }
    assert shares == pytest.approx({"noising": 1, "denoising": 1, "zero": 0, "mean": 0}, abs=1e-9)
    [told] = [text for text in found.warnings if text.startswith("a0.h0 ")]
    assert "ablated to zero or mean" in told
    assert "as a backup does" in told
    both = {"both": [Site("z", 0, head=0), Site("z", 1, head=0)]}
    assert compared("backup", both).sel(operation="zero", component="both").values.item() != pytest.approx(
        0, abs=0.1
    )


def test_where_ways_of_asking_agree_nothing_is_said():
    found = compared("previous-token", {"a0.h0": Site("z", 0, head=0)})
    assert found.sel(operation="noising").values.item() == pytest.approx(1)
    assert found.sel(operation="denoising").values.item() == pytest.approx(1)
    assert not any("AND" in text or "OR" in text for text in found.warnings)


def test_runs_that_the_metric_can_t_tell_apart_are_refused():
    loaded = exact("and")
    contrast = loaded.contrast
    assert contrast is not None
    with pytest.raises(InputError, match="wanted a metric that differs between run and source"):
        noising_and_denoising(loaded.model, contrast.clean, contrast.corrupted, LogitDifference(1, 0, pos=0))


@pytest.mark.parametrize("method", ["attribution", "integrated"])
def test_queries_of_saturated_attention_are_flagged(method: str):
    """Planted induction: another query fetches another token, and its gradient is zero."""
    loaded = exact("induction")
    # After 1 came 2; a query for 2 fetches 3.
    clean, other = torch.tensor([[0, 1, 2, 3, 1]]), torch.tensor([[0, 1, 2, 3, 2]])
    metric = LogitDifference(2, 3)
    given: dict[str, Any] = {"over": (Site("q", 1), "head", "pos"), "source": other, "metric": metric}
    exact_ = sweep(loaded.model, clean, **given, controls=0)
    found = sweep(loaded.model, clean, **given, method=method, steps=4, controls=0)
    assert float(exact_.effect.abs().max()) > 1
    # The gradient misses it; the path's few points may hit where attention switches, and overshoot.
    wrong = (found.effect - exact_.effect).abs().max()
    assert float(wrong) > 0.9 * float(exact_.effect.abs().max())
    assert found.approximate
    assert found.warnings != ()


def test_dead_neurons_are_flagged():
    """Planted AND: its neuron is off in the corrupted run, whatever one of the heads would say."""
    loaded = exact("and")
    contrast = loaded.contrast
    assert contrast is not None
    metric = LogitDifference(1, 0, pos=contrast.position)
    given: dict[str, Any] = {"over": (Site("pre", 0), "pos"), "source": contrast.clean, "metric": metric}
    exact_ = sweep(loaded.model, contrast.corrupted, **given, controls=0)
    found = sweep(loaded.model, contrast.corrupted, **given, method="attribution", controls=0)
    assert float(exact_.effect.abs().max()) > 1
    assert float(found.effect.abs().max()) == 0.0
    assert any("gradients vanish" in text for text in found.warnings)
