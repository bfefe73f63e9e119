"""Models with two paths: both needed, either enough, one in reserve, one against the other."""

from __future__ import annotations

from unweave.core.edges import Edge
from unweave.planted.language import (
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
    tokens,
    vote,
)
from unweave.planted.recipe import Recipe, expect

FIRST, SECOND = 1, 2


def _seen(token: int) -> Op:
    """A head: 1 if this token has occurred, else nothing."""
    here = select(tokens, None, lambda key, _query: key == token)
    return aggregate(here, relabel(lambda t: 1 if t == token else None, tokens), name=f"seen_{token}")


def and_program() -> Op:
    """Two heads, each looking for its token, and one neuron that needs both."""
    return elementwise(lambda _a, _b: 1, _seen(FIRST), _seen(SECOND), name="both")


def both(sequence: list[int]) -> list[int]:
    """1 where tokens 1 and 2 have both occurred by now, else 0."""
    return [int({FIRST, SECOND} <= set(sequence[: at + 1])) for at in range(len(sequence))]


def or_program() -> Op:
    """The same heads, and neurons that need one of them."""
    return elementwise(lambda _a, _b: 1, _seen(FIRST), _seen(SECOND), partial=True, name="either")


def either(sequence: list[int]) -> list[int]:
    """1 where token 1 or token 2 has occurred by now, else 0."""
    return [int(bool({FIRST, SECOND} & set(sequence[: at + 1]))) for at in range(len(sequence))]


def backup_program() -> Op:
    """A previous-token head, and in layer 1 another that rests as long as the first has spoken."""
    primary = aggregate(_one_before(None), tokens, name="primary")
    spoken = present(primary, name="spoken")
    return vote({primary: 1.0, aggregate(_one_before(spoken), tokens, name="backup"): 1.0})


def _one_before(unless: Op | None) -> Selector:
    return select(indices, indices, lambda key, query: key == query - 1, unless=unless)


def previous(sequence: list[int]) -> list[int]:
    """The token one before; 0 at the first."""
    return [0, *sequence[:-1]]


def cancel_program() -> Op:
    """One share, plus another, minus the same."""
    share = {
        token: relabel(lambda t, n=token: float(t == n), tokens, numerical=True) for token in (FIRST, SECOND)
    }
    kept = aggregate(everything(), share[FIRST], name="kept")
    added = aggregate(everything(), share[SECOND], name="added")
    removed = aggregate(everything(), share[SECOND], name="removed")
    return linear({kept: 1.0, added: 1.0, removed: -1.0})


def share_of_first(sequence: list[int]) -> list[float]:
    """The share of token 1 among the tokens up to here, this one included."""
    return [sequence[: at + 1].count(FIRST) / (at + 1) for at in range(len(sequence))]


RECIPES = (
    Recipe(
        name="and",
        description=f"Says 1 once tokens {FIRST} and {SECOND} have both occurred. a0.h0 looks for the first, a0.h1 for "
        "the second, and m0 needs both: one path alone, brought back into a run that lacks both, restores nothing; "
        "either, taken out, destroys the output. So denoising one part at a time misses both heads, and noising "
        "finds them.",
        program=and_program,
        algorithm=both,
        causal=True,
        clean=(1, 2, 3),
        corrupted=(3, 4, 3),
        position=3,
        expectations=(
            expect("noise", "a0.h0", True),
            expect("noise", "a0.h1", True),
            expect("denoise", "a0.h0", False),
            expect("denoise", "a0.h1", False),
            expect("denoise", "a0.h0 a0.h1", True),
        ),
    ),
    Recipe(
        name="or",
        description=f"Says 1 once token {FIRST} or {SECOND} has occurred. The heads are those of the AND; m0 needs "
        "one of them: either path alone, brought back, restores the output; taken out alone, neither matters. So "
        "noising one part at a time misses both heads, and denoising finds them.",
        program=or_program,
        algorithm=either,
        causal=True,
        clean=(1, 2, 3),
        corrupted=(3, 4, 3),
        position=3,
        expectations=(
            expect("denoise", "a0.h0", True),
            expect("denoise", "a0.h1", True),
            expect("noise", "a0.h0", False),
            expect("noise", "a0.h1", False),
            expect("noise", "a0.h0 a0.h1", True),
        ),
    ),
    Recipe(
        name="backup",
        description="Copies the token one position before, twice over. a0.h0 does it; m0 notes that it has spoken, "
        "and as long as it has, a1.h0 rests on BOS and writes nothing. With a0.h0 ablated to zero, or to a mean "
        "that is no token in particular, a1.h0 wakes and the output stays; with both ablated it is gone. A wrong "
        "token from a0.h0 (noising) does not wake a1.h0: the output changes.",
        program=backup_program,
        algorithm=previous,
        causal=True,
        clean=(1, 2, 3, 4),
        corrupted=(1, 2, 4, 4),
        position=4,
        expectations=(
            expect("zero", "a0.h0", False),
            expect("mean", "a0.h0", False),
            expect("zero", "a1.h0", False),
            expect("mean", "a1.h0", False),
            expect("zero", "a0.h0 a1.h0", True),
            expect("mean", "a0.h0 a1.h0", True),
            expect("noise", "a0.h0", True),
            expect("noise", "a1.h0", False),
            expect("denoise", "a0.h0", True),
        ),
        dormant=frozenset(
            Edge.parse(edge)
            for edge in (
                "a0.h0->m0",
                "m0->a1.h0<q>",
                "pos_embed->a1.h0<q>",
                "pos_embed->a1.h0<k>",
                "embed->a1.h0<v>",
                "a1.h0->logits",
            )
        ),
    ),
    Recipe(
        name="cancel",
        description=f"Gives the share of token {FIRST} among the tokens so far, as a number. a0.h0 writes it. a0.h1 adds "
        f"the share of token {SECOND}, and a0.h2 takes it away again: each alone has an effect, both together have "
        "none.",
        program=cancel_program,
        algorithm=share_of_first,
        causal=True,
        clean=(1, 2, 1, 3),
        corrupted=(3, 3, 3, 3),
        position=4,
        expectations=(
            expect("zero", "a0.h1", True),
            expect("zero", "a0.h2", True),
            expect("zero", "a0.h1 a0.h2", False),
            expect("noise", "a0.h1", True),
            expect("noise", "a0.h2", True),
            expect("noise", "a0.h1 a0.h2", False),
            expect("noise", "a0.h0", True),
            expect("denoise", "a0.h0", True),
            expect("denoise", "a0.h1 a0.h2", False),
        ),
    ),
)
