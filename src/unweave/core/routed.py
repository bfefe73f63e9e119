"""Which tokens the rows of a tensor are of, where a router sends only some of them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from unweave.core.slices import Slice


@dataclass(frozen=True)
class Routed:
    """The rows `[routed, ...]` of one expert, so that they can be cut by sequence and position.

    First come the tokens whose first choice it is, then those whose second it is, each in the
    order of batch and position.

    Args:
        chosen: which experts each token goes to.
    """

    chosen: Int[Tensor, "batch pos choice"]
    expert: int

    def rows(self, sequences: Slice | None = None, positions: Slice | None = None) -> Int[Tensor, " rows"]:
        """The numbers of those that are of these sequences and positions; None is all of them.

        They come in the order in which a run of only these would have them.
        """
        here = (self.chosen == self.expert).movedim(-1, 0)
        numbers = (here.flatten().cumsum(0) - 1).view_as(here).masked_fill(~here, -1)
        numbers = numbers if positions is None else Slice.unwrap(positions).apply(numbers, 2)
        numbers = numbers if sequences is None else Slice.unwrap(sequences).apply(numbers, 1)
        return numbers[numbers >= 0]
