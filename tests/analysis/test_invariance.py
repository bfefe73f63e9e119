"""What is said of a model does not depend on how its weights happen to be written: to 1e-4, after relabelling."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from tests.equivalent_models import TRANSFORMATIONS, Equivalent, equivalents
from tests.model.small import small_model, small_tokens
from tests.planted.loaded import exact
from unweave import LogitDifference, Probability, Result, analysis, circuits, probes
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

TOKENS = small_tokens(batch=4)
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
METRIC = LogitDifference(3, 4)
MODEL = small_model(n_heads=2, d_head=4, dtype="float64", positional_embedding_type="standard")

Renamed = Callable[[Equivalent, dict], dict]


def node(equivalent: Equivalent, labels: dict) -> dict:
    return {"component": equivalent.node(labels["component"])}


def head(equivalent: Equivalent, labels: dict) -> dict:
    return {**labels, "head": equivalent.head(labels["layer"], labels["head"])}


def share(equivalent: Equivalent, labels: dict) -> dict:
    """Of direct logit attribution's own labels: heads "L0H1" and neurons "L0N5"."""
    found = re.fullmatch(r"L(\d+)([HN])(\d+)", labels["component"])
    if found is None:
        return labels
    layer, number = int(found[1]), int(found[3])
    new = equivalent.head(layer, number) if found[2] == "H" else equivalent.neuron(layer, number)
    return {"component": f"L{layer}{found[2]}{new}"}


def same(equivalent: Equivalent, labels: dict) -> dict:
    return labels


TECHNIQUES: dict[str, tuple[Callable[[HookedTransformer], Result], Renamed]] = {
    "mean ablation": (lambda model: analysis.ablate_components(model, TOKENS, METRIC), node),
    "direct logit attribution by head": (
        lambda model: analysis.direct_logit_attribution(model, TOKENS, 3, 4, by="head"),
        share,
    ),
    "direct logit attribution by neuron": (
        lambda model: analysis.direct_logit_attribution(model, TOKENS, 3, 4, by="neuron"),
        share,
    ),
    "attribution patching": (
        lambda model: analysis.attribution_patching(model, TOKENS, OTHER, METRIC, recheck=0, controls=0),
        head,
    ),
    "integrated": (
        lambda model: analysis.attribution_patching(
            model, TOKENS, OTHER, METRIC, method="integrated", recheck=0, controls=0
        ),
        head,
    ),
    "logit lens": (lambda model: analysis.logit_lens(model, TOKENS, Probability(3)), same),
    # Ridge regression has one solution, and its penalty is the same in every basis of permuted dimensions.
    "a probe by ridge regression": (
        lambda model: probes.probe(
            model,
            small_tokens(batch=40),
            torch.arange(7.0, dtype=torch.float64).expand(40, 7),
            Site("resid_post", 1, pos=slice(1, None)),
        ),
        same,
    ),
}


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_technique_says_the_same(technique: str, transformation: str):
    measure, renamed = TECHNIQUES[technique]
    equivalent = equivalents(MODEL)[transformation]
    before, after = measure(MODEL), measure(equivalent.model)
    largest = before.values.abs().max()
    for number in range(before.values.numel()):
        labels = before.labels(number)
        here, there = before.sel(**labels).values, after.sel(**renamed(equivalent, labels)).values
        assert (here - there).abs() <= 1e-4 * largest, labels


def test_without_relabelling_it_would_not():
    # The mistake that the tests above would not see if labels did not matter.
    equivalent = equivalents(MODEL)["heads permuted"]
    before, after = (analysis.ablate_components(m, TOKENS, METRIC).values for m in (MODEL, equivalent.model))
    assert (before - after).abs().max() > 1e-2 * before.abs().max()


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_acdc_finds_the_same_circuit(transformation: str):
    planted = exact("induction", decoys=1)
    equivalent = equivalents(planted.model).get(transformation)
    if equivalent is None:
        pytest.skip("it would change this model's function")
    contrast = planted.contrast
    assert contrast is not None
    metric = LogitDifference(right=2, wrong=0, pos=contrast.position)
    found, there = (
        circuits.acdc(model, contrast.clean, contrast.corrupted, metric, threshold=0.1)
        for model in (planted.model, equivalent.model)
    )
    assert {equivalent.edge(str(edge)) for edge in found.edges} == set(map(str, there.edges))
    assert len(found) == 3
