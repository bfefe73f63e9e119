"""Each task's targets against a plain rule, sequence by sequence."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch

from tests.core.unchecked import as_users_run
from unweave.core.errors import InputError
from unweave.tasks import (
    IGNORED,
    Brackets,
    Copy,
    Histogram,
    IndirectObject,
    Induction,
    KBack,
    MarkovChains,
    ModularArithmetic,
    Reverse,
    Sort,
    SparseFeatures,
)
from unweave.tasks.brackets import OPEN, is_balanced
from unweave.tasks.transduction import Transduction


@pytest.mark.parametrize("k", [0, 1, 3])
def test_k_back(k: int):
    tokens, targets = KBack(k=k, d_vocab=9, n_ctx=6).batch(20, 0)
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        assert wanted == [row[at - k] for at in range(k, 6)]


@pytest.mark.parametrize(
    ("kind", "rule"),
    [(Copy, list), (Reverse, lambda row: row[::-1]), (Sort, sorted)],
    ids=["copy", "reverse", "sort"],
)
def test_what_comes_after_the_separator(kind: type[Transduction], rule):
    task = kind(d_vocab=7, length=4)
    for row, wanted in zip(*(part.tolist() for part in task.batch(30, 0)), strict=True):
        bos, given, separator, made = row[0], row[1:5], row[5], row[6:]
        assert (bos, separator) == (0, 6)
        assert wanted == rule(given) and made == wanted[:-1]


def test_induction_asks_for_what_followed_the_only_earlier_place_of_a_token():
    task = Induction(d_vocab=40, n_ctx=21, shortest=3)
    distances, places, lengths = Counter[int](), Counter[int](), Counter[int]()
    for row, wanted in zip(*(part.tolist() for part in task.batch(500, 0)), strict=True):
        asked = [at for at, target in enumerate(wanted) if target != IGNORED]
        assert asked == list(range(asked[0], asked[-1] + 1))
        for at in asked:
            (earlier,) = [place for place in range(at) if row[place] == row[at]]
            assert wanted[at] == row[at + 1] == row[earlier + 1]
        # What is not asked for could not be known: its token has not been there before.
        for at in set(range(len(wanted))) - set(asked):
            assert row[at + 1] not in row[: at + 1] or at + 1 == asked[0]
        distances[at_distance(row, asked[0])] += 1
        places[asked[0]] += 1
        lengths[len(asked) + 1] += 1
    # No fixed distance, place or length is more than a third of them: none solves the task.
    assert min(len(distances), len(places), len(lengths)) >= 8
    assert max(max(c.values()) for c in (distances, places, lengths)) < 500 / 3
    assert set(lengths) == set(range(3, 11))


def at_distance(row: list[int], at: int) -> int:
    return at - row.index(row[at])


@pytest.mark.parametrize(
    ("operation", "rule"),
    [("add", lambda a, b: a + b), ("subtract", lambda a, b: a - b), ("multiply", lambda a, b: a * b)],
)
def test_modular_arithmetic_over_all_pairs_and_a_split_that_covers_them(operation: str, rule):
    task = ModularArithmetic(p=7, operation=operation, train_fraction=0.4)
    tokens, targets = task.everything()
    for (a, b, sign), (result,) in zip(tokens.tolist(), targets.tolist(), strict=True):
        assert sign == 7 and result == rule(a, b) % 7
    train, held = task.batch(1000, 0).tokens.tolist(), task.held_out().tokens.tolist()
    assert len(train) == round(0.4 * 49)
    assert sorted(train + held) == sorted(tokens.tolist())
    # Full batches are one and the same, whatever the seed; smaller ones are drawn without replacement.
    assert task.batch(1000, 1).tokens.tolist() == train
    some = {tuple(row) for row in task.batch(10, 5).tokens.tolist()}
    assert len(some) == 10 and some <= {tuple(row) for row in train}
    assert ModularArithmetic(p=7, operation=operation, split_seed=1).batch(99, 0).tokens.tolist() != train


def test_an_operation_or_fraction_that_there_is_not_is_refused():
    with pytest.raises(
        InputError, match=r"^wanted an operation, one of add, subtract, multiply; got 'divide'"
    ):
        ModularArithmetic(operation="divide")
    with pytest.raises(InputError, match=r"^wanted a train_fraction above 0 and below 1"):
        ModularArithmetic(p=3, train_fraction=0.99)


def stack_says_balanced(brackets: list[int]) -> bool:
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket == OPEN else -1
        if depth < 0:
            return False
    return depth == 0


def test_balance_of_every_string_of_six():
    strings = list(itertools.product((1, 2), repeat=6))
    found = is_balanced(torch.tensor(strings)).tolist()
    assert found == [stack_says_balanced(list(s)) for s in strings]
    assert sum(found) == 5  # Catalan's number


def test_brackets_are_balanced_half_the_time_each_such_string_alike_and_neither_rule_alone_suffices():
    task = Brackets(length=6)
    tokens, targets = task.batch(6000, 0)
    strings = [tuple(row[1:-1]) for row in tokens.tolist()]
    good = Counter(s for s, (yes,) in zip(strings, targets.tolist(), strict=True) if yes)
    assert all(stack_says_balanced(list(s)) for s in good) and len(good) == 5
    assert abs(good.total() - 3000) < 4 * math.sqrt(6000 / 4)
    assert max(good.values()) - min(good.values()) < 8 * math.sqrt(600)
    bad = [s for s, (yes,) in zip(strings, targets.tolist(), strict=True) if not yes]
    equal = [s for s in bad if s.count(1) == s.count(2)]
    early = Counter(equal)
    assert len(early) == math.comb(6, 3) - 5
    assert max(early.values()) - min(early.values()) < 8 * math.sqrt(len(equal) / len(early))
    assert abs(len(equal) - 1500) < 4 * math.sqrt(6000 * 3 / 16)


def test_histogram_counts_so_far_or_in_all():
    for whole in (False, True):
        tokens, targets = Histogram(d_vocab=4, n_ctx=9, whole=whole).batch(20, 0)
        for row, counts in zip(tokens.tolist(), targets.tolist(), strict=True):
            for at in range(1, 9):
                seen = row[1:] if whole else row[1 : at + 1]
                assert counts[at - 1] == seen.count(row[at])


def test_markov_chains_follow_matrices_from_a_dirichlet_distribution():
    task = MarkovChains(d_vocab=3, n_ctx=400)
    tokens, _ = task.batch(400, 0)
    pairs = torch.zeros(400, 3, 3)
    for chain, row in enumerate(tokens):
        pairs[chain].index_put_((row[:-1], row[1:]), torch.ones(399), accumulate=True)
    often = pairs.sum(-1) > 100
    shares = (pairs / pairs.sum(-1, keepdim=True))[often]
    # Of a uniform Dirichlet distribution over three: mean 1/3, variance 1/18, and the noise of counting.
    assert (shares.mean(0) - 1 / 3).abs().max() < 0.05
    assert (shares.var(0) - 1 / 18).abs().max() < 0.012


def test_the_best_guess_of_a_chain_worked_by_hand():
    from unweave.tasks import Batch

    task = MarkovChains(d_vocab=2, n_ctx=5)
    tokens = torch.tensor([[0, 1, 0, 1, 1]])
    batch = Batch(tokens, tokens[:, 1:].clone())
    # Nothing seen: 1/2. At 1, nothing followed a 1: 1/2. At 0, a 1 followed once: 2/3. At 1, a 0 did: 1 has 1/3.
    wanted = torch.tensor([[1 / 2, 1 / 2, 2 / 3, 1 / 3]], dtype=torch.float64)
    torch.testing.assert_close(task.bigram_loss(batch), -wanted.log())
    # By counts: of 0 alone 1 has 1/3; of 0 1 zero has 2/4; of 0 1 0 one has 2/5; of 0 1 0 1 one has 3/6.
    wanted = torch.tensor([[1 / 3, 2 / 4, 2 / 5, 3 / 6]], dtype=torch.float64)
    torch.testing.assert_close(task.unigram_loss(batch), -wanted.log())


def test_no_guess_from_counts_beats_the_best_one():
    task = MarkovChains()
    batch = task.batch(2000, 0)
    best = task.bigram_loss(batch).mean()
    assert best < task.unigram_loss(batch).mean() - 0.1
    # The mistake: the counted share itself, without what was known beforehand.
    assert best < MarkovChains(concentration=0.01).bigram_loss(batch).mean()
    assert best < MarkovChains(concentration=5.0).bigram_loss(batch).mean()


def test_the_indirect_object_is_the_one_who_is_named_once():
    task = IndirectObject()
    swapped = task.name_swapped(batch := task.batch(100, 0))
    people = {task.word(token) for token in range(1, 13)}
    for (row, other), (row_, other_) in zip(
        zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True),
        zip(swapped.tokens.tolist(), swapped.targets.tolist(), strict=True),
        strict=True,
    ):
        named = Counter(word for word in map(task.word, row) if word in people)
        assert sorted(named.values()) == [1, 2]
        assert named[task.word(other[0])] == 1
        assert sum(a != b for a, b in zip(row, row_, strict=True)) == 1
        assert Counter(task.word(t) for t in row_)[task.word(other_[0])] == 1
        assert other_ != other
    with pytest.raises(InputError, match=r"^wanted sentences that name one person twice and another once"):
        task.name_swapped(batch._replace(tokens=torch.ones_like(batch.tokens)))


def test_sparse_features_are_seldom_there_and_the_loss_of_knowing_nothing_is_what_it_says():
    task = SparseFeatures(n_features=4, probability=0.2, decay=0.5)
    x = task.batch(20_000, 0)
    assert ((x > 0).double().mean(0) - 0.2).abs().max() < 4 * math.sqrt(0.16 / 20_000)
    guess = torch.full_like(x, 0.1)
    assert task.loss(guess, x).item() == pytest.approx(task.chance_loss, rel=0.03)
    one = torch.tensor([[1.0, 0, 0, 0]])
    assert task.loss(torch.zeros(1, 4), one).item() == pytest.approx(1 / 4)
    assert task.loss(torch.zeros(1, 4), one.roll(1)).item() == pytest.approx(0.5 / 4)
    assert not torch.equal(task.held_out(5), task.batch(5, 0))
    with as_users_run(), pytest.raises(InputError, match=r"^wanted outputs of shape \(1, 4\); got \(1, 3\)"):
        task.loss(torch.zeros(1, 3), one)


def test_fields_that_make_no_task_are_refused():
    for make, wanted in (
        (lambda: KBack(k=16), "a k below n_ctx"),
        (lambda: Induction(d_vocab=20), "a d_vocab above it"),
        (lambda: Brackets(length=5), "an even length"),
        (lambda: MarkovChains(concentration=0.0), "a concentration above 0"),
        (lambda: SparseFeatures(probability=1.5), "a probability above 0"),
        (lambda: Copy(length=0), "at least 1 for length"),
        (lambda: Histogram().batch(0, 0), "at least 1 for batch_size"),
    ):
        with pytest.raises(InputError, match=wanted):
            make()
