"""Dictionaries beside each other, and beside directions that are known."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unweave.analysis.features.dictionary import Dictionary
from unweave.core.errors import InputError
from unweave.core.results import Result

Directions = Dictionary | Float[Tensor, "_ _"]


def similarity(first: Directions, second: Directions) -> Result:
    """The cosine of every direction of `first` with every one of `second`.

    Args:
        first, second: dictionaries, whose decoder rows are meant, or rows `[direction, d]`.

    Returns:
        Dimensions "feature" and "other".

    Raises:
        InputError: for directions of different sizes, or one that is zero.
    """
    rows = [_unit(directions) for directions in (first, second)]
    if rows[0].shape[1] != rows[1].shape[1]:
        raise InputError(
            wanted="directions of one size",
            got=f"{rows[0].shape[1]} and {rows[1].shape[1]}",
            remedy="compare dictionaries of one site",
        )
    cosines = rows[0] @ rows[1].T
    coords = {
        name: tuple(range(size)) for name, size in zip(("feature", "other"), cosines.shape, strict=True)
    }
    return Result(cosines, ("feature", "other"), coords, "cosine", provenance={"metric": "cosine"})


def mean_max_cosine(truth: Directions, found: Directions) -> float:
    """For each true direction the largest cosine with any that was found, and the mean of these.

    (Sharkey, Braun and Millidge, 2022, "Taking features out of superposition with sparse
    autoencoders".) It asks whether all that is there was found, and not whether all that was found
    is there: for that, change their places. It grows with the number of directions found, for
    random ones too: compare with as many of those.
    """
    return similarity(truth, found).values.max(1).values.mean().item()


def _unit(directions: Directions) -> Float[Tensor, "direction d"]:
    rows = directions.W_dec if isinstance(directions, Dictionary) else directions
    rows = rows.detach().float().cpu()
    norms = rows.norm(dim=-1, keepdim=True)
    if not bool((norms > 0).all()):
        raise InputError(
            wanted="directions that aren't zero",
            got=f"{int((norms == 0).sum())} zero rows",
            remedy="leave those out",
        )
    return rows / norms
