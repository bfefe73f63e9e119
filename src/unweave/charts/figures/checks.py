"""What the figures accept: numbers of the right shape, and labels that fit them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unweave.core.errors import InputError

Floats = NDArray[np.float64]
Number = float | int


def numbers(name: str, values: ArrayLike, *, dims: int, log: bool = False) -> Floats:
    """`values` as a float64 array of `dims` dimensions; NaN marks a gap, except on a log axis.

    Args:
        name: what the values are, for the error message.
        values: a list, array, or CPU tensor.
        dims: the dimensions wanted, 1 or 2.
        log: whether they go onto a logarithmic axis.

    Raises:
        InputError: not numbers, another dimension, empty, infinite, nothing but NaN; on a log
            axis also NaN, zero and negative values.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise InputError(
            wanted=f"{name} as a {dims}-D array of real numbers",
            got=f"{type(values).__name__} ({problem})",
            remedy="pass a list or array of one shape; for a tensor, tensor.detach().cpu()",
        ) from problem
    if array.ndim != dims or array.size == 0:
        raise InputError(
            wanted=f"{name} as a non-empty {dims}-D array",
            got=f"shape {array.shape}",
            remedy="index or stack it to that shape before drawing it",
        )
    if log:
        require_positive(name, array)
    elif np.isinf(array).any() or np.isnan(array).all():
        raise InputError(
            wanted=f"{name} finite, with NaN only for gaps",
            got=f"{_first(array, ~np.isfinite(array))} ({np.sum(~np.isfinite(array))} not finite)",
            remedy="drop or clip these values first",
        )
    return array


def require_positive(name: str, array: Floats, *, gaps: bool = False) -> None:
    """Refuse what a logarithm cannot show; with `gaps`, NaN passes.

    Raises:
        InputError: a value that is not finite or not above zero.
    """
    bad = ~(np.isfinite(array) & (array > 0) | (gaps & np.isnan(array)))
    if bad.any():
        raise InputError(
            wanted=f"{name} finite and above zero, for a logarithmic scale",
            got=f"{_first(array, bad)} ({bad.sum()} of {array.size} cannot be drawn)",
            remedy="use a linear scale, or drop these values first",
        )


def _first(array: Floats, bad: NDArray[np.bool_]) -> str:
    where = [int(index) for index in np.argwhere(bad)[0]]
    return f"{array[tuple(where)]} at {', '.join(map(str, where))}"


def same_length(**columns: Sequence[Any] | NDArray[np.generic]) -> None:
    """Refuse columns of different lengths, naming each with its length.

    Raises:
        InputError: two of them differ.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            wanted=f"{' and '.join(lengths)} of one length",
            got=", ".join(f"{name} of {length}" for name, length in lengths.items()),
            remedy="pass one entry of each for every point",
        )


def interval(name: str, bounds: object, length: int, *, log: bool = False) -> tuple[Floats, Floats]:
    """A pair (low, high) of arrays of `length`, low never above high; both NaN where unknown.

    Raises:
        InputError: not a pair, another length, or a low bound above its high one.
    """
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        raise InputError(
            wanted=f"the interval of {name} as a tuple (low, high)",
            got=type(bounds).__name__,
            remedy="pass the two ends of the interval, as values and not as half-widths",
        )
    low = numbers(f"the low end of {name}", bounds[0], dims=1, log=log)
    high = numbers(f"the high end of {name}", bounds[1], dims=1, log=log)
    same_length(values=range(length), low=low, high=high)
    crossed = np.flatnonzero(low > high)
    if crossed.size:
        at = int(crossed[0])
        raise InputError(
            wanted=f"the interval of {name} with low <= high",
            got=f"low {low[at]} above high {high[at]} at {at}",
            remedy="pass (low, high) in that order",
        )
    return low, high


def known_series(what: str, names: Iterable[str], series: Iterable[str]) -> None:
    """Refuse a name that is none of the series drawn.

    Raises:
        InputError: `names` holds one that `series` lacks.
    """
    have = list(series)
    strangers = [name for name in names if name not in have]
    if strangers:
        raise InputError(
            wanted=f"{what} named after a series",
            got=", ".join(map(repr, strangers)),
            remedy=f"use one of: {', '.join(have)}",
        )


def require(condition: bool, *, wanted: str, got: str, remedy: str) -> None:
    """Raise InputError with these words unless `condition` holds."""
    if not condition:
        raise InputError(wanted=wanted, got=got, remedy=remedy)
