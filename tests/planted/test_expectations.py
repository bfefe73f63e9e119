"""What a planted model says of noising and denoising is so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.planted import by_hand
from tests.planted.loaded import exact
from unweave import planted
from unweave.core.edges import Node
from unweave.planted.expectations import Expectation
from unweave.planted.shelf import RECIPES

CASES = [
    pytest.param(recipe.name, decoys, number, id=f"{recipe.name}-{decoys}-{number}")
    for recipe in RECIPES.values()
    for decoys in (0, 2)
    for number, _ in enumerate(recipe.expectations)
]


def output(loaded: planted.PlantedModel, tokens: Tensor, ablate: dict[Node, Tensor] | None = None) -> float:
    logits, _ = by_hand.run(loaded.model, tokens, ablate=ablate)
    assert loaded.contrast is not None
    return loaded.read(logits)[0, loaded.contrast.position].item()


@pytest.mark.parametrize(("name", "decoys", "number"), CASES)
def test_the_expectation_comes_true(name: str, decoys: int, number: int):
    loaded = exact(name, decoys, 5 if decoys else 0)
    expected, contrast = loaded.expectations[number], loaded.contrast
    assert contrast is not None
    _, clean = by_hand.run(loaded.model, contrast.clean)
    _, corrupted = by_hand.run(loaded.model, contrast.corrupted)
    _, every = by_hand.run(loaded.model, loaded.inputs(contrast.clean.shape[1] - 1))
    instead = {
        "noise": corrupted,
        "denoise": clean,
        "zero": {node: torch.zeros_like(sent) for node, sent in clean.items()},
        "mean": {node: sent.mean(0, keepdim=True) for node, sent in every.items()},
    }[expected.operation]
    base = contrast.corrupted if expected.operation == "denoise" else contrast.clean
    before = output(loaded, base)
    after = output(loaded, base, {node: instead[node] for node in expected.nodes})
    if not expected.changes:
        assert after == pytest.approx(before, abs=1e-9)
    elif expected.operation == "denoise":
        assert after == pytest.approx(output(loaded, contrast.clean), abs=1e-9)
    else:
        assert abs(after - before) > 1e-3


@pytest.mark.parametrize("name", planted.names())
def test_the_contrast_is_one(name: str):
    loaded = exact(name)
    contrast = loaded.contrast
    assert contrast is not None
    assert contrast.clean.shape == contrast.corrupted.shape
    assert output(loaded, contrast.clean) != output(loaded, contrast.corrupted)


def test_and_and_or_say_the_opposite_of_each_other():
    def alone(name: str) -> dict[tuple[str, str], bool]:
        return {
            (expected.operation, str(expected.nodes[0])): expected.changes
            for expected in exact(name).expectations
            if len(expected.nodes) == 1
        }

    assert alone("and") == {key: not changes for key, changes in alone("or").items()}
    assert len(alone("and")) == 4


def test_an_expectation_reads_as_a_sentence():
    nodes = (Node("head", 0, 0), Node("mlp", 0))
    sentence = str(Expectation("noise", nodes, changes=True))
    assert sentence == "noising a0.h0 and m0 (the clean run with the corrupted run's value) destroys it"
    assert (
        str(Expectation("zero", nodes[1:], changes=False)) == "ablating m0 to zero leaves the output as it is"
    )
    assert str(Expectation("denoise", nodes[:1], changes=True)).endswith(
        "(the corrupted run with the clean run's value) restores it"
    )
