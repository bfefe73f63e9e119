"""What can't be planted is refused, with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unweave import planted
from unweave.core.errors import InputError
from unweave.planted import (
    aggregate,
    elementwise,
    evaluate,
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

ONES = relabel(lambda t: t == 1, tokens, numerical=True)
ALWAYS: Callable[[Any, Any], bool] = lambda _k, _q: True  # noqa: E731


def made(program: planted.Op, **kwargs: Any) -> planted.PlantedModel:
    return planted.compile(program, **{"n_tokens": 3, "max_length": 3, **kwargs})


REFUSED = {
    "a name": (lambda: planted.load("inductoin"), r"'inductoin'; nearest: induction"),
    "a dtype": (lambda: planted.load("and", dtype="bfloat16"), r"wanted float32 or float64 for dtype"),
    "decoys": (lambda: planted.load("and", decoys=-1), r"at least 0 for decoys; got -1"),
    "n_tokens": (lambda: made(tokens, n_tokens=0), r"at least 1 for n_tokens; got 0"),
    "sharpness": (lambda: made(tokens, sharpness=3.0), r"wanted a sharpness from 20 to 1000 nats; got 3"),
    "no keys": (lambda: select(None, tokens, ALWAYS), r"write everything\(\) to select all keys"),
    "number keys": (
        lambda: select(ONES, tokens, ALWAYS),
        r"wanted categories for keys and queries; got numbers",
    ),
    "prefer": (lambda: everything(prefer="latest"), r"prefer of first, last or None; got latest"),
    "unless": (lambda: everything(unless=tokens), r"wanted a number for unless; got categories"),
    "width": (lambda: selector_width(everything(prefer="last")), r"wanted a selector without prefer"),
    "three": (lambda: elementwise(ALWAYS, tokens, tokens, tokens), r"wanted one or two sequences; got 3"),
    "two numbers": (
        lambda: elementwise(ALWAYS, ONES, ONES),
        r"wanted categories for two sequences; got numbers",
    ),
    "relabel": (lambda: relabel(lambda t: t, ONES), r"wanted categories for a sequence; got numbers"),
    "present": (lambda: present(ONES), r"wanted categories for a sequence; got numbers"),
    "linear": (lambda: linear({tokens: 1.0}), r"wanted numbers; got categories; write vote\(\)"),
    "no terms": (lambda: linear({}), r"wanted at least one term; got none"),
    "vote inside": (lambda: elementwise(ALWAYS, vote({tokens: 1.0})), r"got a vote; vote last"),
    "class 0": (lambda: made(relabel(lambda t: t - 1, tokens)), r"wanted whole numbers above 0 .* got 0"),
    "a class by name": (lambda: made(relabel(str, tokens)), r"got '1'; end the program with relabel"),
    "no category": (lambda: made(elementwise(lambda t: [t], tokens)), r"hashable.* got a list"),
    "no number": (lambda: made(elementwise(str, tokens, numerical=True)), r"wanted numbers from .* got '1'"),
    "infinite": (lambda: made(relabel(lambda _t: float("inf"), tokens, numerical=True)), r"got inf"),
    "something of nothing": (
        lambda: made(elementwise(lambda x: 1 if x < 0.5 else None, aggregate(everything(), ONES, name="s"))),
        r"wanted 0 or None for the number 0",
    ),
    "two of a name": (
        lambda: made(elementwise(lambda t: t, relabel(lambda t: t, tokens, name="a"), name="a")),
        r"wanted a name of its own for each step; got 'a' twice",
    ),
    "narrow stairs": (
        lambda: made(selector_width(everything(), name="length"), max_length=500),
        r"wanted numbers further than 6e-05 apart in length",
    ),
    "several at once": (
        lambda: evaluate(aggregate(everything(), tokens, name="mix"), [1, 2], causal=False),
        r"wanted one category among those that mix selects; got 1, 2; write prefer='last'",
    ),
    "half a switch": (
        lambda: evaluate(selector_width(everything(unless=linear({ONES: 0.5}))), [1, 2], causal=True),
        r"wanted 0 or 1 for unless; got 0.5",
    ),
    "a tie": (
        lambda: evaluate(vote({tokens: 1.0, relabel(lambda _t: 9, tokens): 1.0}), [1], causal=True),
        r"wanted one winner of a vote; got 1, 9 with 1 each",
    ),
    "no BOS": (
        lambda: planted.load("and").algorithm(torch.tensor([[1, 2]])),
        r"sequences of BOS \(0\) and then",
    ),
    "BOS inside": (lambda: planted.load("and").algorithm(torch.tensor([[0, 1, 0]])), r"a 0 elsewhere"),
    "a token too many": (
        lambda: planted.load("and").algorithm(torch.tensor([[0, 5]])),
        r"tokens from 0 to 4",
    ),
    "too long": (lambda: planted.load("and").algorithm(torch.tensor([[0, *[1] * 6]])), r"1 to n_ctx=6"),
    "no such length": (lambda: planted.load("and").inputs(6), r"wanted a length from 1 to 5; got 6"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_and_the_remedy_is_told(what: str):
    act, sentence = REFUSED[what]
    with pytest.raises(InputError, match=sentence):
        act()


def test_indices_count_from_one_and_bos_is_outside():
    everyone = selector_width(everything())
    assert evaluate(indices, [7, 7, 7], causal=True) == [1, 2, 3]
    assert evaluate(everyone, [7, 7, 7], causal=True) == [1, 2, 3]
    assert evaluate(everyone, [7, 7, 7], causal=False) == [3, 3, 3]
