"""Small things done with tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from unweave.core.errors import InputError


def to_numpy(tensor: Any) -> NDArray[np.generic]:
    """A tensor, list, tuple, number or text as a NumPy array; an array is returned as it is.

    bfloat16, which NumPy lacks, becomes float32.

    Raises:
        InputError: for anything else.
    """
    match tensor:
        case np.ndarray():
            return tensor
        case Tensor():
            detached = tensor.detach().cpu()
            return (detached.float() if detached.dtype == torch.bfloat16 else detached).numpy()
        case list() | tuple() | int() | float() | bool() | str():
            return np.array(tensor)
        case _:
            raise InputError(
                wanted="a tensor, array, list, tuple, number or text, for to_numpy",
                got=type(tensor).__name__,
                remedy="convert it yourself",
            )


def get_corner(tensor: Any, n: int = 3) -> Any:
    """The first `n` of every dimension."""
    return tensor[tuple(slice(n) for _ in range(tensor.ndim))]


def remove_batch_dim(tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Without its first dimension, if that is 1; else the tensor itself."""
    return tensor.squeeze(0) if tensor.shape[0] == 1 else tensor


def transpose(tensor: Float[Tensor, "... a b"]) -> Float[Tensor, "... b a"]:
    """The last two dimensions exchanged."""
    return tensor.mT


def is_square(x: Tensor) -> bool:
    """Whether `x` is a matrix of as many rows as columns."""
    return x.ndim == 2 and x.shape[0] == x.shape[1]


def is_lower_triangular(x: Tensor) -> bool:
    """Whether `x` is square and zero above its diagonal."""
    return is_square(x) and torch.equal(x, x.tril())


def check_structure(
    t1: Float[Tensor, "row col"], t2: Float[Tensor, "row col"], *, verbose: bool = False
) -> None:
    """Print whether neighbours compare alike in two matrices of one shape: PASSED, or where they don't.

    Row (or column) i is listed if somewhere its `>=` with the next one is another in `t2` than in `t1`.
    Of both, 3.9 prints the rows alone, as here.
    """
    found: dict[str, list[int]] = {}
    for kind, first, second in (("row", t1, t2), ("column", t1.mT, t2.mT)):
        if verbose:
            print(f"Checking {kind}s")  # noqa: T201 - printing is what it is for
        ours, theirs = first[:-1] >= first[1:], second[:-1] >= second[1:]
        found[kind] = (ours != theirs).any(1).nonzero()[:, 0].tolist()
        for at in found[kind] if verbose else ():
            print(f"\trows {at}:{at + 1}\n\tt1: {ours[at].tolist()}\n\tt2: {theirs[at].tolist()}")  # noqa: T201
    for kind, places in found.items():
        if places:
            print(f"{kind} mismatch: {places}")  # noqa: T201
            return
    print("PASSED")  # noqa: T201


def get_offset_position_ids(
    past_kv_pos_offset: int, attention_mask: Int[Tensor, "batch key"]
) -> Int[Tensor, "batch pos"]:
    """Positions counted over attended tokens from 0, of those behind the offset; padding in front has 0."""
    counted = attention_mask.cumsum(1) - 1
    return counted.clamp(min=0)[:, past_kv_pos_offset:]


def get_cumsum_along_dim(tensor: Tensor, dim: int, reverse: bool = False) -> Tensor:
    """The cumulative sum along `dim`, from its other end if `reverse`."""
    return tensor.flip(dim).cumsum(dim).flip(dim) if reverse else tensor.cumsum(dim)


def repeat_along_head_dimension(
    tensor: Float[Tensor, "batch pos d_model"], n_heads: int, clone_tensor: bool = True
) -> Float[Tensor, "batch pos head d_model"]:
    """The same for every head; a view without `clone_tensor`."""
    repeated = tensor[:, :, None].expand(-1, -1, n_heads, -1)
    return repeated.clone() if clone_tensor else repeated


def filter_dict_by_prefix(dictionary: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What stands below `prefix` in names with dots, by the rest of its name."""
    above = prefix if prefix.endswith(".") else f"{prefix}."
    return {name.removeprefix(above): value for name, value in dictionary.items() if name.startswith(above)}
