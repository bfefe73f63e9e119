"""A bias and a product."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def vanilla_addmm(
    input: Float[Tensor, "..."], mat1: Float[Tensor, "m n"], mat2: Float[Tensor, "n o"]
) -> Float[Tensor, "m o"]:
    """`input + mat1 @ mat2`, of matrices."""
    return input.addmm(mat1, mat2)


def batch_addmm(
    bias: Float[Tensor, "..."], weight: Float[Tensor, "d_in d_out"], x: Float[Tensor, "*batch d_in"]
) -> Float[Tensor, "*batch d_out"]:
    """`bias + x @ weight`, for any leading dimensions of `x`."""
    return vanilla_addmm(bias, x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], weight.shape[-1])
