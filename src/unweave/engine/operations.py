"""What is done to the entries of a site, as frozen values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs, as_tensor
from unweave.engine.layout import SCORES, Index, dims_of

# A run to take values from: tokens, tokens with a mask, or a cache.
From = Inputs | Tensor | Mapping[str, Tensor]
Per = Literal["position", "all"]


class Operation(ABC):
    """New values for the selected entries of one site. Abstract.

    Attributes:
        kind: what a result says was done.
        sourced: whether values come from a run.
        opaque: whether it must be given all samples and positions, of one patch alone.
        rowwise: whether what takes an entry's place hangs on no other row of entries: then rows of
            several patches may be given at once.
    """

    kind: ClassVar[str]
    sourced: ClassVar[bool] = False
    opaque: ClassVar[bool] = False
    rowwise: ClassVar[bool] = False

    @property
    def run(self) -> From | None:
        """Where values come from; None is the run that is being changed, as it is without any change."""
        return None

    @property
    def reduced(self) -> Per | None:
        """Whether the mean of the source is meant, and of what."""
        return None

    @property
    def source_pos(self) -> Index:
        """Which of the source's positions are read; None: those that are written."""
        return None

    def described(self) -> str:
        """What was done, in words."""
        return self.kind

    def check(self, name: str) -> None:
        """Raise InputError if this can't be done at the hook of this name."""
        return

    def order(self, samples: int) -> Int[Tensor, " sample"] | None:
        """Which sample of the source each sample reads; None: its own."""
        return None

    @abstractmethod
    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """What takes the place of `old`; `target` is what the source has there."""


@dataclass(frozen=True, eq=False)
class Valued(Operation):
    """What is done with a value that is given: a number, one vector for all entries `[last]`, or one an entry. Abstract."""

    value: Tensor | float
    rowwise: ClassVar[bool] = True

    def same_for_all(self, size: int) -> bool:
        """Whether it is one number, or one vector of this size for all entries."""
        return not isinstance(self.value, Tensor) or tuple(self.value.shape) in ((), (size,))

    def require_samples(self, samples: int) -> None:
        """Raise InputError for rows of values that are neither one a sample nor one for all."""
        if isinstance(self.value, Tensor) and self.value.ndim > 1 and len(self.value) not in (1, samples):
            raise InputError(
                wanted=f"values for each of {samples} samples, or for all",
                got=f"{len(self.value)} rows, of shape {tuple(self.value.shape)}",
                remedy="give the first dimension the number of samples, or 1",
            )

    def of(self, samples: slice) -> Valued:
        """The same for these samples."""
        if isinstance(self.value, Tensor) and self.value.ndim > 1 and len(self.value) > 1:
            return replace(self, value=self.value[samples])
        return self


@final
@dataclass(frozen=True, eq=False)
class Set(Valued):
    """Put `value` there: a number, one vector for all entries `[last]`, or one value an entry."""

    kind: ClassVar[str] = "set"

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The value, for every entry."""
        return fitting(self.value, old).expand_as(old)


@final
@dataclass(frozen=True, eq=False)
class Add(Valued):
    """Add `value`: a number, one vector for all entries `[last]`, or one value an entry."""

    kind: ClassVar[str] = "add"

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The old values and `value`."""
        return old + fitting(self.value, old)


@final
@dataclass(frozen=True)
class Zero(Operation):
    """Put zero there."""

    kind: ClassVar[str] = "zero ablation"
    rowwise: ClassVar[bool] = True

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """Zeros."""
        return torch.zeros_like(old)


@final
@dataclass(frozen=True)
class ProjectOut(Operation):
    """Take away what lies along the site's direction or in its subspace."""

    kind: ClassVar[str] = "projection"
    rowwise: ClassVar[bool] = True

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """Zeros, of which only what lies in the subspace is taken."""
        return torch.zeros_like(old)


@final
@dataclass(frozen=True, eq=False)
class Mean(Operation):
    """Put the mean over samples there, of each position apart or over all of them.

    Args:
        of: tokens, `Inputs` or a cache; None is the run itself. What is padding is left out of the
            mean, and a position that is padding in every sample has mean 0.
        per: "position" keeps positions apart; "all" takes the mean over them too.
    """

    of: From | None = None
    per: Per = "position"
    kind: ClassVar[str] = "mean ablation"
    rowwise: ClassVar[bool] = True
    sourced: ClassVar[bool] = True

    @property
    def run(self) -> From | None:
        return self.of

    @property
    def reduced(self) -> Per | None:
        return self.per

    def described(self) -> str:
        """What was done, in words."""
        return "mean ablation, " + ("each position apart" if self.per == "position" else "over all positions")

    def check(self, name: str) -> None:
        """Raise InputError for a mean that means nothing there."""
        if self.per not in ("position", "all"):
            raise InputError(
                wanted='per="position" or per="all"', got=repr(self.per), remedy="write one of them"
            )
        if self.per == "all" and dims_of(name) == SCORES:
            raise InputError(
                wanted=f"a mean of each position at {name}",
                got="one over all queries, which see different keys",
                remedy='write per="position"',
            )

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The mean."""
        assert target is not None
        return target.expand_as(old)


@final
@dataclass(frozen=True, eq=False)
class Resample(Operation):
    """Put there what another sample has.

    Args:
        of: where the other samples are: tokens, `Inputs` or a cache; None is the run itself.
        permutation: which of them each sample reads, `[sample]`; None draws one from `seed` in which
            no sample reads its own.
    """

    of: From | None = None
    permutation: Tensor | None = None
    seed: int = 0
    kind: ClassVar[str] = "resample ablation"
    rowwise: ClassVar[bool] = True
    sourced: ClassVar[bool] = True

    @property
    def run(self) -> From | None:
        return self.of

    def order(self, samples: int) -> Int[Tensor, " sample"] | None:
        """The permutation."""
        if self.permutation is not None:
            return self.permutation
        return others(samples, self.seed)

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The other sample's."""
        assert target is not None
        return target


@final
@dataclass(frozen=True, eq=False)
class Interchange(Operation):
    """Put there what another run has, sample by sample: activation patching.

    Args:
        source: tokens, `Inputs` or a cache, of as many samples, or of one for all.
        pos: which of the source's positions are read, as many as the site names; None: the same.
    """

    source: From
    pos: Index = None
    kind: ClassVar[str] = "interchange"
    rowwise: ClassVar[bool] = True
    sourced: ClassVar[bool] = True

    @property
    def run(self) -> From | None:
        return self.source

    @property
    def source_pos(self) -> Index:
        return self.pos

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The source's."""
        assert target is not None
        return target


@final
@dataclass(frozen=True)
class Freeze(Operation):
    """Keep what the run has without any intervention."""

    kind: ClassVar[str] = "freeze"
    rowwise: ClassVar[bool] = True
    sourced: ClassVar[bool] = True

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """The clean run's."""
        assert target is not None
        return target


@final
@dataclass(frozen=True)
class Apply(Operation):
    """`function(selected)`: a tensor of the same shape. It is called with all samples, one patch at a time."""

    function: Callable[[Tensor], Tensor]
    kind: ClassVar[str] = "function"
    opaque: ClassVar[bool] = True

    def described(self) -> str:
        """What was done, in words."""
        return f"function {getattr(self.function, '__name__', type(self.function).__name__)}"

    def replaced(self, old: Tensor, target: Tensor | None) -> Tensor:
        """What the function gives."""
        new = self.function(old.clone())
        if not isinstance(new, Tensor) or new.shape != old.shape or new.dtype != old.dtype:
            got = f"{tuple(new.shape)}, {new.dtype}" if isinstance(new, Tensor) else type(new).__name__
            raise InputError(
                wanted=f"a tensor of shape {tuple(old.shape)}, {old.dtype}, from the function",
                got=got,
                remedy="return one value for each that it was given",
            )
        return new


def fitting(value: Tensor | float, old: Tensor) -> Tensor:
    """`value` if it is a number, one vector for all entries, or has a dimension for each of the entries'.

    Raises:
        InputError: for a shape that fits by luck alone, or not at all.
    """
    new = as_tensor(value, old)
    aligned = new.ndim == old.ndim and all(a in (1, b) for a, b in zip(new.shape, old.shape, strict=True))
    if new.ndim and new.shape != old.shape[-1:] and not aligned:
        raise InputError(
            wanted=f"a number, {old.shape[-1]} numbers, or one for each entry: {tuple(old.shape)}",
            got=f"shape {tuple(new.shape)}",
            remedy="give each dimension its size, or 1 where it is the same throughout",
        )
    return new


def others(samples: int, seed: int) -> Int[Tensor, " sample"]:
    """A permutation in which no sample stays: a cycle through all of them in random order.

    Raises:
        InputError: for fewer than two samples.
    """
    if samples < 2:
        raise InputError(
            wanted="two samples or more, to resample one from another",
            got=str(samples),
            remedy="pass more samples, or a permutation of another run's",
        )
    order = torch.randperm(samples, generator=seeds.generator(seed, "resample"))
    return torch.empty_like(order).scatter_(0, order, order.roll(1))
