"""A model's norms, applied once more to something that did not pass through the model."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from unweave.model.norm import NoNorm, Norm


def quiet_norm(norm: nn.Module, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    """The norm of `x`, weights included, without running the hooks of `norm`."""
    assert isinstance(norm, Norm | NoNorm), type(norm)
    return norm.quiet(x)
