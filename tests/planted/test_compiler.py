"""Programs of users': what the compiled model gives is what the program says, on every sequence."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planted import by_hand
from unweave import planted
from unweave.core.errors import InputError
from unweave.planted import (
    Op,
    Selector,
    aggregate,
    elementwise,
    everything,
    indices,
    linear,
    present,
    relabel,
    select,
    selector_width,
    tokens,
    vote,
)


def table(draw: random.Random, results: list[Any]) -> Callable[..., Any]:
    """A function whose results are drawn, and stay."""
    salt = draw.random()
    return lambda *values: results[zlib.crc32(repr((salt, values)).encode()) % len(results)]


def drawn_selector(draw: random.Random, depth: int, prefer: bool) -> Selector:
    order = draw.choice(["first", "last"]) if prefer else None
    unless = None
    if draw.random() < 0.3:
        unless = relabel(table(draw, [0, 1]), categories(draw, depth - 1), numerical=True)
    if draw.random() < 0.2:
        return everything(prefer=order, unless=unless)
    queries = None if draw.random() < 0.3 else categories(draw, depth - 1)
    fits = table(draw, [True, False])
    return select(categories(draw, depth - 1), queries, fits, prefer=order, unless=unless)


def categories(draw: random.Random, depth: int) -> Op:
    if depth <= 0:
        return draw.choice([tokens, indices])
    f = table(draw, [None, 1, 2, 3])
    match draw.randrange(6):
        case 0:
            return relabel(f, categories(draw, depth - 1))
        case 1:
            return elementwise(f, categories(draw, depth - 1))
        case 2:
            pair = categories(draw, depth - 1), categories(draw, depth - 1)
            return elementwise(f, *pair, partial=draw.random() < 0.5)
        case 3:
            return selector_width(drawn_selector(draw, depth, prefer=False))
        case 4:
            counted = relabel(table(draw, [0, 1]), categories(draw, depth - 1), numerical=True)
            mean = aggregate(drawn_selector(draw, depth - 1, prefer=False), counted)
            return elementwise(lambda x: f(round(x, 6)) if x else None, mean)
        case _:
            return aggregate(drawn_selector(draw, depth, prefer=True), categories(draw, depth - 1))


def numbers(draw: random.Random, depth: int) -> Op:
    one = relabel(table(draw, [-1.0, 0.0, 2.5]), categories(draw, depth - 1), numerical=True)
    two = aggregate(drawn_selector(draw, depth, prefer=False), one)
    three = elementwise(table(draw, [None, 0.5, -2]), categories(draw, depth - 1), numerical=True)
    return linear([(two, 1.0), (present(categories(draw, depth - 1)), -0.5), (three, 2.0)])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("numerical", [True, False])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8)
def test_a_drawn_program_is_compiled_exactly(causal: bool, numerical: bool, seed: int):
    draw = random.Random(seed)
    program = numbers(draw, 2) if numerical else relabel(table(draw, [1, 2, 3]), categories(draw, 3))
    made = planted.compile(program, n_tokens=2, max_length=3, causal=causal, decoys=seed % 2, seed=seed)
    assert made.mistakes() == []


def threshold(causal: bool = False, **kwargs: Any) -> planted.PlantedModel:
    """1 where token 1 is at least half of all tokens: numbers, through an MLP's stairs, to a category."""
    counted = relabel(lambda token: token == 1, tokens, numerical=True, name="is_one")
    share = aggregate(everything(), counted, name="share")
    many = elementwise(lambda x: 1 if x >= 0.5 else None, share, name="many")
    return planted.compile(many, n_tokens=3, max_length=4, causal=causal, **kwargs)


def test_a_program_of_ones_own():
    made = threshold()
    assert made.mistakes() == []
    assert made.read(made.model(torch.tensor([[0, 2, 1, 1], [0, 2, 3, 1]]))).tolist() == [
        [0, 1, 1, 1],
        [0] * 4,
    ]
    assert {str(edge) for edge in made.edges} == {
        # BOS is kept out by its query and its key, and tokens are counted without a component.
        *("embed->a0.h0<q>", "embed->a0.h0<k>", "embed->a0.h0<v>"),
        *("a0.h0->m0", "m0->logits"),
    }
    assert made.steps == {
        "embed": "tokens",
        "a0.h0": "share = aggregate(select(all keys), is_one)",
        "m0": "many = elementwise(share)",
    }
    assert made.basis == ("tokens:bos", "tokens:1", "tokens:2", "tokens:3", "share", "many:1")


def test_a_vote():
    before = aggregate(select(indices, indices, lambda k, q: k == q - 1), tokens, name="before")
    itself = aggregate(select(indices, indices, lambda k, q: k == q), tokens, name="itself")
    made = planted.compile(vote({before: 1.0, itself: 0.75}), n_tokens=3, max_length=3)
    assert made.mistakes() == []
    assert made.read(made.model(torch.tensor([[0, 3, 1, 2]])))[0].tolist() == [0, 3, 3, 1]


def test_a_program_that_needs_no_component():
    made = planted.compile(relabel(lambda t: t if t < 3 else None, tokens), n_tokens=3, max_length=2)
    assert made.model.cfg.n_layers == 0
    assert made.mistakes() == []
    assert {str(edge) for edge in made.edges} == {"embed->logits"}


def test_a_step_that_never_has_a_value():
    silent = elementwise(lambda _t: None, tokens)
    made = planted.compile(silent, n_tokens=2, max_length=2)
    assert made.mistakes() == []
    assert made.edges == frozenset()


def test_a_longer_one():
    """Sequences of 60: too many for all of them."""
    same = select(tokens, tokens, lambda k, q: k == q)
    made = planted.compile(selector_width(same), n_tokens=5, max_length=60)
    generator = torch.Generator().manual_seed(0)
    sequences = torch.randint(1, 6, (50, 61), generator=generator)
    sequences[:, 0] = 0
    sequences[0, 1:] = 1
    assert (made.read(made.model(sequences)) == made.algorithm(sequences)).all()
    with pytest.raises(InputError, match=r"at most 20,000,000 tokens in all"):
        made.inputs()


def test_compiling_leaves_the_global_random_state_alone():
    state = torch.get_rng_state()
    threshold(decoys=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_decoys_are_busy_and_do_nothing():
    plain, made = planted.load("induction"), planted.load("induction", decoys=3, seed=1)
    tokens_ = made.inputs()
    assert torch.equal(made.model(tokens_), plain.model(tokens_))
    _, sent = by_hand.run(made.model, tokens_)
    decoys = [node for node, told in made.steps.items() if told == "decoy"]
    assert len(decoys) == 2 * 3
    for node, value in sent.items():
        if str(node) in decoys:
            assert value.std(0).max() > 0.05
    involved = {str(node) for edge in made.edges for node in (edge.sender, edge.receiver)}
    assert involved.isdisjoint(decoys)


def test_the_seed_draws_decoys_and_their_places():
    first, again, other = (planted.load("and", decoys=3, seed=seed) for seed in (1, 1, 2))
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name])
    assert first.edges == again.edges
    assert len({frozenset(planted.load("and", decoys=3, seed=s).edges) for s in range(6)}) > 1
    assert not torch.equal(first.model.blocks[0].attn.W_Q, other.model.blocks[0].attn.W_Q)


@pytest.mark.parametrize("name", ["sort-by-frequency", "cancel"])
def test_a_planted_model_is_saved_and_opened_as_any_other(name: str, tmp_path: Any):
    import unweave

    made = planted.load(name, dtype="float64")
    made.model.save(tmp_path / "model")
    opened = unweave.load(tmp_path / "model")
    assert torch.equal(opened(made.inputs(3)), made.model(made.inputs(3)))
    assert opened.cfg.to_dict() == made.model.cfg.to_dict()
