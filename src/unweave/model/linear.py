"""The one way in which the model multiplies by a weight matrix."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def linear(
    x: Float[Tensor, "*batch d_in"], weight: Float[Tensor, "d_in d_out"], bias: Float[Tensor, " d_out"] | None
) -> Float[Tensor, "*batch d_out"]:
    """`x @ weight + bias`, given back in the dtype of `x`.

    Under autocast the product itself is bf16; what follows it (softmax, norms, sums into the
    residual stream, the loss) is not.
    """
    product = F.linear(x, weight.t(), bias)
    return product if product.dtype is x.dtype else product.to(x.dtype)
