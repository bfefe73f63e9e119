"""A choice along one dimension of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.core.errors import InputError

SliceInput = int | slice | tuple[int | None, ...] | Sequence[int] | Tensor | NDArray[Any] | None


class Slice:
    """What TransformerLens calls a slice: an index, a range or a list of indices.

    Args:
        input_slice: None takes everything; an int one index, whose dimension goes; a tuple
            `(stop,)`, `(start, stop)` or `(start, stop, step)`, or a `slice`, a range; a list,
            array or 1-D tensor those indices, or where a mask of bools is True.

    Raises:
        InputError: for anything else; and, when it is applied, for an index that is not there or
            a choice of nothing.
    """

    def __init__(self, input_slice: SliceInput = None) -> None:
        self.mode = "identity"
        self.slice: int | slice | Tensor = slice(None)
        match input_slice:
            case None:
                pass
            case int() if not isinstance(input_slice, bool):
                self.mode, self.slice = "int", input_slice
            case slice():
                self.mode, self.slice = "slice", input_slice
            case tuple() if 1 <= len(input_slice) <= 3:
                self.mode, self.slice = "slice", slice(*input_slice)
            case list() | Tensor() | np.ndarray():
                self.mode, self.slice = "array", _indices(input_slice)
            case _:
                raise _refused(repr(input_slice))
        step = self.slice.step if isinstance(self.slice, slice) else None
        if step is not None and step < 1:
            raise _refused(f"a step of {step}")

    def __repr__(self) -> str:
        return f"Slice({self.slice!r})"

    @classmethod
    def unwrap(cls, slice_input: Slice | SliceInput) -> Slice:
        """A Slice that keeps every dimension: a lone index becomes a list of one."""
        given = as_slice(slice_input)
        return cls([given.slice]) if isinstance(given.slice, int) else given

    def apply(self, tensor: Tensor, dim: int = 0) -> Tensor:
        """The chosen part of `tensor` along `dim`; a view, unless a list of indices is given."""
        match self.slice:
            case int():
                self._require_within(torch.tensor(self.slice), tensor.shape[dim])
                return tensor.select(dim, self.slice)
            case slice() if self.mode == "identity":
                return tensor
            case _:
                chosen = self.chosen(tensor.shape[dim])
        if isinstance(self.slice, slice):
            whole = [slice(None)] * tensor.ndim
            whole[dim] = self.slice
            return tensor[tuple(whole)]
        return tensor.index_select(dim, chosen.to(tensor.device))

    def indices(self, max_ctx: int | None = None) -> NDArray[np.int64]:
        """The chosen indices of a dimension of size `max_ctx`, which may be left out for a lone index."""
        if isinstance(self.slice, int) and max_ctx is None:
            return np.array([self.slice])
        if max_ctx is None:
            raise InputError(
                wanted="the size of the dimension", got="none", remedy="write slice.indices(max_ctx)"
            )
        return self.chosen(max_ctx).numpy()

    def chosen(self, size: int) -> Tensor:
        """The chosen indices of a dimension of this size, counted from its start, as a 1-D tensor."""
        everything = torch.arange(size)
        if isinstance(self.slice, Tensor) and self.slice.dtype == torch.bool:
            if len(self.slice) != size:
                raise InputError(
                    wanted=f"a mask of {size} bools",
                    got=f"one of {len(self.slice)}",
                    remedy="make one for each index",
                )
        elif not isinstance(self.slice, slice):
            self._require_within(torch.as_tensor(self.slice), size)
        picked = everything[self.slice].reshape(-1)
        if size and not len(picked):
            raise InputError(
                wanted=f"a slice that picks something of {size}",
                got=f"{self!r}, which picks nothing",
                remedy="check its ends",
            )
        return picked

    def _require_within(self, indices: Tensor, size: int) -> None:
        if ((indices < -size) | (indices >= size)).any():
            raise InputError(
                wanted=f"indices from {-size} to {size - 1}",
                got=repr(self.slice if isinstance(self.slice, int) else indices.tolist()),
                remedy="check the slice",
            )


def as_slice(given: Slice | SliceInput) -> Slice:
    """`given`, as a Slice."""
    return given if isinstance(given, Slice) else Slice(given)


def _indices(given: list[int] | Tensor | NDArray[Any]) -> Tensor:
    indices = torch.as_tensor(given).cpu()
    if indices.ndim != 1 or indices.is_floating_point():
        raise _refused(f"{indices.ndim} dimensions of {indices.dtype}")
    return indices


def _refused(got: str) -> InputError:
    return InputError(
        wanted="a slice: an index, (start, stop), (start, stop, step) with a positive step, or a list of indices",
        got=got,
        remedy="write for example pos_slice=-1 or pos_slice=(2, 5)",
    )
