"""Activation functions, by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unweave.model.activations import ACTIVATIONS, gelu_tanh, relu2, solu

Activations = Float[Tensor, "*batch d_mlp"]
ActivationFunction = Callable[..., Tensor]

# A cap that means none.
SOFTCAP_DISABLED = -1.0

# One function under three names: they differ in the order of rounding alone.
gelu_new = gelu_fast = gelu_pytorch_tanh = gelu_tanh

__all__ = [
    "SOFTCAP_DISABLED",
    "SUPPORTED_ACTIVATIONS",
    "XIELU",
    "ActivationFunction",
    "apply_softcap",
    "gelu_fast",
    "gelu_new",
    "gelu_pytorch_tanh",
    "relu2",
    "softcap_enabled",
    "solu",
    "xielu",
]


class XIELU(nn.Module):
    """xIELU with two trained slopes (Huang et al., 2024, arXiv:2411.13010): `alpha_p`, `alpha_n`.

    Both are kept as what softplus makes of them; `beta` is fixed, and added to the second.
    """

    beta: Tensor
    eps: Tensor

    def __init__(
        self,
        alpha_p_init: int | float = 0.8,
        alpha_n_init: int | float = 0.8,
        beta_init: int | float = 0.5,
        eps: float = -1e-6,
    ) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(_before_softplus(alpha_p_init))
        self.alpha_n = nn.Parameter(_before_softplus(alpha_n_init - beta_init))
        self.register_buffer("beta", torch.tensor(beta_init))
        self.register_buffer("eps", torch.tensor(eps))

    def forward(self, input: Activations) -> Activations:
        """What comes out of each neuron."""
        slopes = F.softplus(self.alpha_p), self.beta + F.softplus(self.alpha_n)
        return _xielu(input, *slopes, self.beta, self.eps)


def xielu(input: Activations) -> Activations:
    """XIELU with the slopes that it begins with."""
    return _xielu(input, *(torch.tensor(value) for value in (0.8, 0.8, 0.5, -1e-6)))


def softcap_enabled(cap: int | float | None) -> bool:
    """Whether a cap caps: above 0."""
    return cap is not None and cap > 0


def apply_softcap(x: Tensor, cap: int | float | None) -> Tensor:
    """`cap * tanh(x / cap)`, or `x` where there is no cap."""
    return x if cap is None or cap <= 0 else cap * torch.tanh(x / cap)


SUPPORTED_ACTIVATIONS: dict[str, ActivationFunction] = {**ACTIVATIONS, "xielu": xielu}


def _xielu(x: Tensor, alpha_p: Tensor, alpha_n: Tensor, beta: Tensor, eps: Tensor) -> Tensor:
    positive = alpha_p * x.square()
    negative = (torch.expm1(torch.minimum(x, eps)) - x) * alpha_n
    return torch.where(x > 0, positive, negative) + beta * x


def _before_softplus(value: int | float) -> Tensor:
    return torch.expm1(torch.tensor(value)).log()
