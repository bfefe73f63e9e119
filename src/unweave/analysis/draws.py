"""Which other inputs may stand in for each one: those that agree with it in what is said to matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.errors import InputError

# What of the input matters: a label for each sequence [sample], or for each of its positions [sample, pos].
Feature = Callable[[Tensor], Tensor]


def token(tokens: Int[Tensor, "sample pos"]) -> Int[Tensor, "sample pos"]:
    """The token at the position itself."""
    return tokens


def nothing(tokens: Int[Tensor, "sample pos"]) -> Int[Tensor, " sample"]:
    """Nothing: any other input will do."""
    return torch.zeros(len(tokens), dtype=torch.long)


def whole(tokens: Int[Tensor, "sample pos"]) -> Int[Tensor, " sample"]:
    """The whole sequence: only an equal one will do."""
    return torch.unique(tokens, dim=0, return_inverse=True)[1]


@dataclass(frozen=True, eq=False)
class Classes:
    """The inputs, sorted into those that agree.

    Args:
        of: the number of each one's class, `[sample, pos]`, or `[sample, 1]` for all positions together.
    """

    of: Int[Tensor, "sample columns"]

    @classmethod
    def by(cls, feature: Feature, tokens: Int[Tensor, "sample pos"], edge: str) -> Classes:
        """Those of a feature.

        Raises:
            InputError: if that doesn't give a whole number (or a truth) for each sequence or position.
        """
        labels = feature(tokens)
        shape = tuple(labels.shape) if isinstance(labels, Tensor) else None
        if shape not in ((len(tokens),), tuple(tokens.shape)) or labels.is_floating_point():
            raise InputError(
                wanted=f"whole numbers [{len(tokens)}] or {tuple(tokens.shape)} from the feature of {edge}",
                got=f"shape {shape}, {labels.dtype}" if isinstance(labels, Tensor) else type(labels).__name__,
                remedy="return a label for each sequence, or for each of its positions",
            )
        labels = labels.detach().cpu().long()
        labels = labels[:, None] if labels.ndim == 1 else labels
        columns = [torch.unique(column, return_inverse=True)[1] for column in labels.unbind(1)]
        return cls(torch.stack(columns, 1))

    @property
    def freedom(self) -> float:
        """How many inputs agree with one, itself included, on average; as a part of all."""
        shares = [column.bincount().double()[column].mean() / len(column) for column in self.of.unbind(1)]
        return torch.stack(shares).mean().item()

    @property
    def alone(self) -> float:
        """For which part of inputs and positions only an input that is the same there in all columns will do."""
        return torch.stack([(c.bincount()[c] == 1).double().mean() for c in self.of.unbind(1)]).mean().item()

    def same_as(self, other: Classes) -> bool:
        """Whether both sort the inputs alike at every position."""
        if self.of.shape != other.of.shape:
            return False
        return all(
            _finest(a, b) == len(a.unique()) == len(b.unique())
            for a, b in zip(self.of.T, other.of.T, strict=True)
        )

    def draw(self, generator: torch.Generator) -> Int[Tensor, "sample columns"]:
        """For each input, and each column, one of those that agree with it, each alike likely."""
        return torch.stack([_drawn(column, generator) for column in self.of.unbind(1)], 1)


def _drawn(labels: Int[Tensor, " sample"], generator: torch.Generator) -> Int[Tensor, " sample"]:
    order = labels.argsort(stable=True)
    sizes = labels.bincount()
    first = sizes.cumsum(0) - sizes
    at = (torch.rand(len(labels), generator=generator, dtype=torch.float64) * sizes[labels]).long()
    return order[first[labels] + at]


def _finest(a: Tensor, b: Tensor) -> int:
    return len(torch.stack([a, b], 1).unique(dim=0))


def gathered(values: Tensor, drawn: Int[Tensor, "sample columns"]) -> Tensor:
    """`[sample, pos, d_model]`: at each position what the input drawn for it has there."""
    drawn = drawn.to(values.device)
    if drawn.shape[1] == 1:
        return values[drawn[:, 0]]
    return values[drawn, torch.arange(values.shape[1], device=values.device)]
