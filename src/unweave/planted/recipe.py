"""What is written down for each model of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unweave.core.edges import Edge, Node
from unweave.planted.algorithm import OnSequence
from unweave.planted.expectations import Expectation
from unweave.planted.language import Op


@dataclass(frozen=True)
class Recipe:
    """A program, and beside it everything that must be known of it without running it.

    Args:
        program: makes the program.
        algorithm: the same in plain Python, written by itself: from the tokens after BOS to outputs.
        clean, corrupted: the contrast, BOS left out; `position` counts BOS.
        expectations: with the program's own numbering of heads.
        dormant: edges, written out, that say nothing in any intact run.
    """

    name: str
    description: str
    program: Callable[[], Op]
    algorithm: OnSequence
    causal: bool
    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    position: int
    expectations: tuple[Expectation, ...]
    dormant: frozenset[Edge] = frozenset()
    n_tokens: int = 4
    max_length: int = 5


def expect(operation: str, nodes: str, changes: bool) -> Expectation:
    """`expect("noise", "a0.h0 a0.h1", True)`: noising both changes the output."""
    return Expectation(operation, tuple(Node.parse(node) for node in nodes.split()), changes)
