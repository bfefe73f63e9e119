"""Models that count: how often a token occurs, which share it has, who comes first by frequency."""

from __future__ import annotations

from unweave.planted.language import (
    Op,
    aggregate,
    elementwise,
    everything,
    indices,
    select,
    selector_width,
    tokens,
)
from unweave.planted.recipe import Recipe, expect

# The token whose share fraction-of-previous reports.
COUNTED = 1


def histogram_program() -> Op:
    """A head and an MLP: the width of "the same token"."""
    same = select(tokens, tokens, lambda key, query: key == query)
    return selector_width(same, name="count")


def histogram(sequence: list[int]) -> list[int]:
    """How often this position's token occurs in the whole sequence."""
    return [sequence.count(token) for token in sequence]


def fraction_program() -> Op:
    """An MLP says which tokens count; a head takes the mean."""
    counted = elementwise(lambda token: float(token == COUNTED), tokens, numerical=True, name="is_counted")
    return aggregate(everything(), counted, name="fraction")


def fraction_of_previous(sequence: list[int]) -> list[float]:
    """The share of token 1 among the tokens up to here, this one included."""
    return [sequence[: at + 1].count(COUNTED) / (at + 1) for at in range(len(sequence))]


def sort_program() -> Op:
    """Counts, then ranks (the width of "comes no later than this one"), then fetches rank i to position i."""
    count = histogram_program()
    order = elementwise(lambda n, i: (n, i), count, indices, name="count_and_index")
    no_later = select(order, order, lambda k, q: k[0] > q[0] or (k[0] == q[0] and k[1] <= q[1]))
    rank = selector_width(no_later, name="rank")
    of_this_rank = select(rank, indices, lambda key, query: key == query)
    return aggregate(of_this_rank, tokens, name="sorted")


def sort_by_frequency(sequence: list[int]) -> list[int]:
    """The tokens, the more frequent ones first; equally frequent ones as they stood."""
    return sorted(sequence, key=lambda token: -sequence.count(token))


RECIPES = (
    Recipe(
        name="histogram",
        description="Says how often the current token occurs in the whole sequence. a0.h0 attends to all equal "
        "tokens and BOS alike, so that BOS's share is 1 / (1 + count); m0 turns the share into the count. "
        "Attention is bidirectional.",
        program=histogram_program,
        algorithm=histogram,
        causal=False,
        clean=(1, 2, 3, 1),
        corrupted=(1, 2, 3, 3),
        position=1,
        expectations=(
            expect("noise", "a0.h0", True),
            expect("denoise", "a0.h0", True),
            expect("noise", "m0", True),
            expect("denoise", "m0", True),
        ),
    ),
    Recipe(
        name="fraction-of-previous",
        description=f"Gives the share of token {COUNTED} among the tokens so far, as a number. m0 writes 1 at "
        "that token; a1.h0 attends to all tokens so far alike, and so writes the mean.",
        program=fraction_program,
        algorithm=fraction_of_previous,
        causal=True,
        clean=(1, 2, 1, 3),
        corrupted=(1, 2, 3, 3),
        position=4,
        expectations=(
            expect("noise", "m0", True),
            expect("denoise", "m0", True),
            expect("noise", "a1.h0", True),
            expect("denoise", "a1.h0", True),
        ),
    ),
    Recipe(
        name="sort-by-frequency",
        description="Sorts the tokens by how often they occur, the most frequent first, equally frequent ones as "
        "they stood. a0.h0 and m0 count, m1 joins count and index, a2.h0 and m2 find each token's rank, and a3.h0 "
        "fetches the token of rank i to position i. Attention is bidirectional; a1 is idle.",
        program=sort_program,
        algorithm=sort_by_frequency,
        causal=False,
        clean=(1, 2, 2),
        corrupted=(1, 2, 1),
        position=1,
        expectations=(
            *(expect("noise", node, True) for node in ("a0.h0", "m0", "m1", "a2.h0", "m2", "a3.h0")),
            expect("noise", "a1.h0", False),
            expect("denoise", "a3.h0", True),
        ),
    ),
)
