"""A choice along one dimension."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.compat.warned import warn
from unweave.core.slices import Slice as StrictSlice
from unweave.core.slices import SliceInput

__all__ = ["Slice", "SliceInput"]


class Slice(StrictSlice):
    """`unweave.core.slices.Slice`; but a choice of nothing, which that refuses, gives nothing, with a warning."""

    def __repr__(self) -> str:
        shown = self.slice.numpy() if isinstance(self.slice, Tensor) else self.slice
        return f"Slice: {shown} Mode: {self.mode} "

    @classmethod
    def unwrap(cls, slice_input: StrictSlice | SliceInput) -> StrictSlice:
        """A Slice that keeps every dimension: a lone index becomes a list of one; a Slice stays as it is."""
        if isinstance(slice_input, StrictSlice):
            return slice_input
        return cls([slice_input]) if isinstance(slice_input, int) else cls(slice_input)

    def indices(self, max_ctx: int | None = None) -> NDArray[np.int64]:
        """The chosen indices; a lone one as it was given, also where it counts from the end."""
        return np.array([self.slice]) if isinstance(self.slice, int) else super().indices(max_ctx)

    def chosen(self, size: int) -> Tensor:
        """The chosen indices of a dimension of this size, counted from its start."""
        ranged = isinstance(self.slice, slice) and len(range(size)[self.slice]) == 0
        masked = isinstance(self.slice, Tensor) and self.slice.dtype == torch.bool and not self.slice.any()
        if not size or not (ranged or masked):
            return super().chosen(size)
        warn(f"{self!r} picks nothing of {size}")
        return torch.arange(0)
