"""Models that copy tokens: from one position before, after an earlier occurrence, from the other end."""

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


def previous_token_program() -> Op:
    """One head: the key that stands one before the query."""
    before = select(indices, indices, lambda key, query: key == query - 1)
    return aggregate(before, tokens, name="previous")


def previous_token(sequence: list[int]) -> list[int]:
    """The token one before; 0 at the first."""
    return [0, *sequence[:-1]]


def induction_program() -> Op:
    """Two heads, one after the other: previous token, then what followed the latest equal token."""
    previous = previous_token_program()
    matching = select(previous, tokens, lambda key, query: key == query, prefer="last")
    return aggregate(matching, tokens, name="next")


def induction(sequence: list[int]) -> list[int]:
    """The token that came after the latest earlier occurrence of this one; 0 if there was none."""
    outputs: list[int] = []
    for at, token in enumerate(sequence):
        follows = [j for j in range(1, at + 1) if sequence[j - 1] == token]
        outputs.append(sequence[follows[-1]] if follows else 0)
    return outputs


def reverse_program() -> Op:
    """The length is counted; an MLP subtracts; a head fetches the token from there."""
    length = selector_width(everything(), name="length")
    opposite = elementwise(lambda n, i: n + 1 - i if i <= n else None, length, indices, name="opposite")
    there = select(indices, opposite, lambda key, query: key == query)
    return aggregate(there, tokens, name="reversed")


def reverse(sequence: list[int]) -> list[int]:
    """The sequence backwards."""
    return sequence[::-1]


RECIPES = (
    Recipe(
        name="previous-token",
        description="Copies the token one position before. One head attends from each position to the one "
        "before by index, and moves the token; at the first position it rests on BOS and writes nothing.",
        program=previous_token_program,
        algorithm=previous_token,
        causal=True,
        clean=(1, 2, 3, 4),
        corrupted=(1, 2, 4, 4),
        position=4,
        expectations=(expect("noise", "a0.h0", True), expect("denoise", "a0.h0", True)),
    ),
    Recipe(
        name="induction",
        description="Says what came after the latest earlier occurrence of the current token. Head a0.h0 "
        "writes down the previous token; a1.h0 looks for the current token among what a0.h0 wrote (a "
        "composition through keys) and copies the token found there.",
        program=induction_program,
        algorithm=induction,
        causal=True,
        clean=(1, 2, 3, 1),
        corrupted=(4, 2, 3, 1),
        position=4,
        expectations=(
            expect("noise", "a0.h0", True),
            expect("denoise", "a0.h0", True),
            expect("noise", "a1.h0", True),
            expect("denoise", "a1.h0", True),
        ),
    ),
    Recipe(
        name="reverse",
        description="Reverses the sequence. a0.h0 and m0 count how long it is, m1 computes length + 1 - "
        "index, and a2.h0 attends there by index and moves the token. Attention is bidirectional. Only a2.h0 "
        "knows about tokens: patches from another sequence of the same length find nothing before it.",
        program=reverse_program,
        algorithm=reverse,
        causal=False,
        clean=(1, 2, 3, 4),
        corrupted=(1, 2, 3, 1),
        position=1,
        expectations=(
            expect("noise", "a2.h0", True),
            expect("denoise", "a2.h0", True),
            expect("noise", "a0.h0 m0 m1", False),
            expect("denoise", "a0.h0 m0 m1", False),
            expect("zero", "a0.h0", True),
            expect("zero", "m0", True),
            expect("zero", "m1", True),
        ),
    ),
)
