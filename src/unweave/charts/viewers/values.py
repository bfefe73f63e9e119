"""What the viewers accept and how it travels: checked labels, packed or rounded numbers, colour limits."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from unweave.charts.embedding import rounded
from unweave.charts.figures.checks import Floats, Number, require
from unweave.core.errors import InputError


def array(name: str, values: ArrayLike, *, dims: Sequence[int], shape: str) -> Floats:
    """`values` as float64; a tensor may be on any device, of any float dtype, with or without a gradient.

    Raises:
        InputError: not real numbers, another number of dimensions, empty, or infinite.
    """
    try:
        given: Any = values
        if hasattr(given, "detach"):
            given = given.detach().cpu().double().numpy()
        out = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as problem:
        raise InputError(
            wanted=f"{name} {shape}, real numbers",
            got=f"{type(values).__name__} ({problem})",
            remedy="pass an array or a tensor of one shape",
        ) from problem
    require(
        out.ndim in dims and out.size > 0,
        wanted=f"{name} {shape}, not empty",
        got=f"shape {out.shape}",
        remedy="index or stack it to that shape (a batch of one: values[0])",
    )
    require(
        not np.isinf(out).any(),
        wanted=f"{name} finite, with NaN only where there is none",
        got=f"{int(np.isinf(out).sum())} infinite",
        remedy="mask or clip these first",
    )
    return out


def is_nested(tokens: Sequence[Any]) -> bool:
    """Whether this is a list of token lists, and not one of tokens."""
    return len(tokens) > 0 and isinstance(tokens[0], Sequence | np.ndarray) and not isinstance(tokens[0], str)


def strings(name: str, labels: Sequence[str], length: int, of: str) -> list[str]:
    """`labels` as a list of `length` strings.

    Raises:
        InputError: another number of them, one text instead of a list, or what are no strings.
    """
    require(
        not isinstance(labels, str) and all(isinstance(one, str) for one in labels),
        wanted=f"{name} as a list of strings",
        got=repr(labels)[:60],
        remedy="for token ids, model.to_str_tokens(tokens) or [str(token) for token in ids]",
    )
    require(
        len(labels) == length,
        wanted=f"one of {name} for each of {length} {of}",
        got=f"{len(labels)}",
        remedy="pass the tokens that the numbers were computed on, the first special token included",
    )
    return list(labels)


def packed(values: Floats) -> dict[str, Any]:
    """Numbers as little-endian float16 in base64 with the factor that they were divided by.

    The greatest is stored as 1, so that each is right to one part in 2000 down to 0.0001 of the greatest.
    """
    with np.errstate(all="ignore"):
        top = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    factor = top or 1.0
    halves = (values / factor).astype("<f2")
    return {"f16": base64.b64encode(halves.tobytes()).decode(), "by": factor, "n": values.size}


def listed(values: Floats) -> Any:
    """Numbers as nested lists, six digits each and None for NaN."""
    if values.ndim == 1:
        return [rounded(float(value)) for value in values]
    return [listed(part) for part in values]


def scale(
    values: Sequence[Floats], *, diverging: bool | None, limits: tuple[Number, Number] | None
) -> tuple[bool, float, float]:
    """Whether colours diverge at zero, and the values of the first and the last colour.

    By default they diverge where a value is below zero. A scale that doesn't diverge begins at zero
    unless a value lies below it.

    Raises:
        InputError: limits out of order, or not symmetric where the scale diverges.
    """
    known = [one[np.isfinite(one)] for one in values]
    flat = np.concatenate([one.ravel() for one in known]) if known else np.zeros(0)
    low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)
    if diverging is None:
        diverging = low < 0 if limits is None else limits[0] < 0 < limits[1] and limits[0] == -limits[1]
    if limits is not None:
        require(
            bool(np.isfinite(limits).all()) and limits[0] < limits[1],
            wanted="limits (low, high) with low < high",
            got=str(limits),
            remedy="pass two different finite numbers in order",
        )
        require(
            not diverging or limits[0] == -limits[1],
            wanted="limits (-m, m) for a diverging scale",
            got=str(limits),
            remedy="centre them at zero, or use diverging=False",
        )
        return diverging, float(limits[0]), float(limits[1])
    if diverging:
        most = max(abs(low), abs(high)) or 1.0
        return True, -most, most
    low = min(low, 0.0)
    return False, low, high if high > low else low + 1.0
