"""Every planted model gives its algorithm's answer on every sequence that it reads."""

from __future__ import annotations

import math

import pytest
import torch

from tests.planted import by_hand
from tests.planted.loaded import exact
from unweave import planted
from unweave.planted.interpret import evaluate
from unweave.planted.shelf import RECIPES

NAMES = planted.names()

# Worked by hand: tokens after BOS, and what must come out for them.
WORKED = {
    "previous-token": ([3, 1, 4], [0, 3, 1]),
    # 2: never before. 1 (4th): 2 came after it. 1 (5th): the latest 1 is followed by this very 1.
    "induction": ([1, 2, 3, 1, 1], [0, 0, 0, 2, 1]),
    "reverse": ([1, 2, 3, 3], [3, 3, 2, 1]),
    "histogram": ([1, 2, 1, 1], [3, 1, 3, 3]),
    "fraction-of-previous": ([2, 1, 1, 3], [0.0, 1 / 2, 2 / 3, 1 / 2]),
    "sort-by-frequency": ([4, 2, 3, 2, 3], [2, 3, 2, 3, 4]),
    "and": ([3, 2, 2, 1, 4], [0, 0, 0, 1, 1]),
    "or": ([3, 2, 4], [0, 1, 1]),
    "backup": ([3, 1, 4], [0, 3, 1]),
    "cancel": ([2, 1, 1, 3], [0.0, 1 / 2, 2 / 3, 1 / 2]),
}


def test_every_planted_circuit_of_the_list_is_there():
    assert set(NAMES) == set(WORKED)


@pytest.mark.parametrize("name", NAMES)
def test_the_algorithm_on_an_example_worked_by_hand(name: str):
    sequence, wanted = WORKED[name]
    got = planted.load(name).algorithm(torch.tensor([[0, *sequence]]))
    assert got[0, 0] == 0
    assert got[0, 1:].tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_exact_on_all_inputs(name: str, dtype: str):
    loaded = planted.load(name, dtype=dtype)
    assert loaded.model.W_E.dtype == getattr(torch, dtype)
    assert loaded.mistakes() == []


@pytest.mark.parametrize("name", NAMES)
def test_all_inputs_are_all_of_them_and_the_model_is_run_on_them(name: str):
    loaded = exact(name)
    for length in range(1, loaded.max_length + 1):
        inputs = loaded.inputs(length)
        assert len(inputs) == len({tuple(row) for row in inputs.tolist()}) == loaded.n_tokens**length
        logits = loaded.model(inputs)
        # An independent forward pass agrees, so that the exactness is the weights' own.
        torch.testing.assert_close(logits, by_hand.run(loaded.model, inputs)[0], rtol=0, atol=1e-9)
        if loaded.numerical:
            assert (logits[..., 0] - loaded.algorithm(inputs)).abs().max() < 1e-9
        else:
            # The right class has 10, the others 0, and class 0 has 5 everywhere.
            wanted = torch.zeros_like(logits)
            wanted.scatter_(-1, loaded.algorithm(inputs)[..., None], 10.0)
            wanted[..., 0] = 5.0
            assert (logits - wanted).abs().max() < 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_the_program_as_it_reads_says_the_same_as_the_algorithm(name: str):
    recipe, loaded = RECIPES[name], planted.load(name)
    program = recipe.program()
    for row in [row for length in (1, 2, 3, 4) for row in loaded.inputs(length).tolist()]:
        meant = [value or 0 for value in evaluate(program, row[1:], causal=recipe.causal)]
        assert meant == pytest.approx(recipe.algorithm(row[1:]), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_saturated_as_far_as_the_bound_says(name: str):
    loaded = exact(name)
    tokens = loaded.inputs()
    _, cache = loaded.model.run_with_cache(tokens, names_filter=lambda hook: hook.endswith("pattern"))
    leak = tokens.shape[1] * math.exp(-50.0)
    for pattern in cache.values():
        attended = pattern > 1e-9
        share = attended.double() / attended.sum(-1, keepdim=True)
        # Those attended to share alike, to rounding; the others have no more than the bound.
        assert (pattern - share)[attended].abs().max() < 1e-12
        assert (pattern * ~attended).sum(-1).max() <= leak


def test_a_mistake_would_be_found():
    loaded = planted.load("histogram")
    with torch.no_grad():
        loaded.model.blocks[0].mlp.b_in[3] += 1.0
    wrong = loaded.mistakes()
    assert wrong
    tokens = torch.tensor([wrong[0]])
    assert (loaded.read(loaded.model(tokens)) != loaded.algorithm(tokens)).any()
    with torch.no_grad():
        loaded.model.unembed.b_U[0] = float("nan")
    assert len(loaded.mistakes()) == sum(4**length for length in range(1, 6))


@pytest.mark.parametrize("name", NAMES)
def test_the_stream_is_small_and_every_coordinate_has_a_name(name: str):
    loaded = planted.load(name)
    assert loaded.model.cfg.d_model == len(loaded.basis) == len(set(loaded.basis)) < 100


def test_the_basis_says_what_the_stream_holds():
    loaded = planted.load("histogram")
    tokens = torch.tensor([[0, 2, 1, 2]])
    _, cache = loaded.model.run_with_cache(tokens)
    at = {name: cache["resid_post", 0][0, :, number] for number, name in enumerate(loaded.basis)}
    assert at["tokens:bos"].tolist() == [1, 0, 0, 0]
    assert at["tokens:2"].tolist() == [0, 1, 0, 1]
    assert at["count:share"].tolist() == pytest.approx([1, 1 / 3, 1 / 2, 1 / 3])
    assert at["count:1"].tolist() == pytest.approx([0, 0, 1, 0], abs=1e-5)
    assert at["count:2"].tolist() == pytest.approx([0, 1, 0, 1], abs=1e-5)
