"""The floor of a guess that does not see order, against every sequence of a small vocabulary."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import pytest

from unweave.tasks import PreviousToken


def enumerated(d_vocab: int, n_ctx: int) -> float:
    """The entropy of the target, given the current token and the unordered ones before it."""
    total = 0.0
    for position in range(1, n_ctx):
        seen: dict[tuple, Counter] = defaultdict(Counter)
        for tokens in itertools.product(range(1, d_vocab), repeat=position):
            row = (0, *tokens)
            seen[row[position], tuple(sorted(row[:position]))][row[position - 1]] += 1
        n_rows = (d_vocab - 1) ** position
        for targets in seen.values():
            total -= sum(n * math.log(n / targets.total()) for n in targets.values()) / n_rows
    return total / (n_ctx - 1)


@pytest.mark.parametrize(("d_vocab", "n_ctx"), [(2, 5), (3, 2), (3, 6), (4, 5), (6, 4)])
def test_it_is_the_entropy_that_is_left(d_vocab: int, n_ctx: int):
    assert PreviousToken(d_vocab, n_ctx).orderless_loss == pytest.approx(enumerated(d_vocab, n_ctx))


def test_it_lies_between_knowing_and_guessing():
    task = PreviousToken()
    assert 0 < task.orderless_loss < task.chance_loss
