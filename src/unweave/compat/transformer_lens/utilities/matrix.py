"""What is done with factored matrices."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unweave.core.factored_matrix import FactoredMatrix
from unweave.model.composition import composition_scores

__all__ = ["composition_scores", "get_matrix_corner"]


def get_matrix_corner(matrix: FactoredMatrix, n: int = 3) -> Float[Tensor, "..."]:
    """The first `n` of every dimension, multiplied out."""
    return matrix.get_corner(n)
