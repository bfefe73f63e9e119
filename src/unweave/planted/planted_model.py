"""A model with the algorithm and the circuit that were written into it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.edges import Edge, Node
from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer
from unweave.planted.algorithm import Algorithm
from unweave.planted.expectations import Contrast, Expectation

# A number is right if it is off by no more.
TOLERANCE = 1e-4
# So many tokens at most in a list of all sequences.
MOST_TOKENS = 20_000_000
CHUNK = 4096


@dataclass(frozen=True, eq=False)
class PlantedModel:
    """A model whose algorithm and circuit are known.

    Args:
        model: reads BOS (0) and then up to `max_length` tokens from 1 to `n_tokens`. Its logits have one
            class a category, class 0 for None; or, if `numerical`, are the number itself.
        algorithm: what must come out, in plain Python.
        edges: the circuit: every edge that carries something which matters, positions and BOS included.
        token_edges: those of them that carry something about the tokens. The others are the same in
            all sequences of a length: a patch from another such sequence cannot show them.
        dormant: edges that say nothing as long as all is well; see the description.
        basis: what each coordinate of the residual stream means.
        steps: what each component computes, by its name in edges.
        contrast: a clean and a corrupted sequence, and the position to look at.
        expectations: what noising and denoising find there.
        moved: where the program's heads went among decoys.
    """

    name: str
    description: str
    model: HookedTransformer
    algorithm: Algorithm
    edges: frozenset[Edge]
    token_edges: frozenset[Edge]
    basis: tuple[str, ...]
    steps: Mapping[str, str]
    numerical: bool
    n_tokens: int
    max_length: int
    dormant: frozenset[Edge] = frozenset()
    contrast: Contrast | None = None
    expectations: tuple[Expectation, ...] = ()
    moved: Mapping[Node, Node] = field(default_factory=dict[Node, Node])

    def inputs(self, length: int | None = None) -> Int[Tensor, "sequence pos"]:
        """Every sequence of so many tokens after BOS; the longest if None.

        Raises:
            InputError: for a length that the model doesn't read, or that has too many sequences.
        """
        length = self.max_length if length is None else length
        if not isinstance(length, int) or not 1 <= length <= self.max_length:
            raise InputError(
                wanted=f"a length from 1 to {self.max_length}", got=repr(length), remedy="BOS does not count"
            )
        if self.n_tokens**length * (length + 1) > MOST_TOKENS:
            raise InputError(
                wanted=f"at most {MOST_TOKENS:,} tokens in all",
                got=f"{self.n_tokens}^{length} sequences",
                remedy="ask for shorter ones, or draw some yourself",
            )
        rows = list(itertools.product(range(1, self.n_tokens + 1), repeat=length))
        return torch.nn.functional.pad(torch.tensor(rows), (1, 0)).to(self.model.W_E.device)

    def read(
        self, logits: Float[Tensor, "batch pos out"]
    ) -> Int[Tensor, "batch pos"] | Float[Tensor, "batch pos"]:
        """What the logits say: the class of the greatest, or the number."""
        return logits[..., 0] if self.numerical else logits.argmax(-1)

    @torch.no_grad()
    def mistakes(self) -> list[tuple[int, ...]]:
        """Every sequence on which the model and the algorithm differ, of all lengths; empty if exact."""
        wrong: list[tuple[int, ...]] = []
        for length in range(1, self.max_length + 1):
            for chunk in self.inputs(length).split(CHUNK):
                said, true = self.read(self.model(chunk)), self.algorithm(chunk)
                # Written so that NaN is a mistake.
                differs = ~((said - true).abs() <= TOLERANCE).all(-1)
                wrong += [tuple(row) for row in chunk[differs].tolist()]
        return wrong
