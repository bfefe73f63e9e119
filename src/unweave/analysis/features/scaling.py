"""What is done to an activation before it is encoded, and undone after: SAELens' `normalize_activations`."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Scaling:
    """`scaled = (x - shift) / divisor`; back, `x = y * factor + shift`.

    SAELens' "layer_norm" divides by the standard deviation (n - 1) plus 1e-5, and multiplies by it without.
    """

    shift: Tensor | float
    divisor: Tensor | float
    factor: Tensor | float

    @classmethod
    def of(cls, x: Float[Tensor, "*batch d_in"], kind: str) -> Scaling:
        """That of each vector; none for the kinds that don't look at it."""
        if kind == "layer_norm":
            mean, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            return cls(mean, spread + EPS, spread)
        if kind == "constant_norm_rescale":
            size = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
            return cls(0.0, size, size)
        return cls(0.0, 1.0, 1.0)

    def into(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """Scaled."""
        return (x - self.shift) / self.divisor

    def back(self, y: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """As it was."""
        return y * self.factor + self.shift
