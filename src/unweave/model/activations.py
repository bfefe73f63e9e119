"""Activation functions by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def gelu_tanh(x: Float[Tensor, "*batch d_mlp"]) -> Float[Tensor, "*batch d_mlp"]:
    """GELU by its tanh approximation (Hendrycks and Gimpel, 2016, arXiv:1606.08415): GPT-2's."""
    return F.gelu(x, approximate="tanh")


def solu(x: Float[Tensor, "*batch d_mlp"]) -> Float[Tensor, "*batch d_mlp"]:
    """`x * softmax(x)` over the neurons (Elhage et al., 2022, transformer-circuits.pub/2022/solu)."""
    return x * x.softmax(-1)


def quick_gelu(x: Float[Tensor, "*batch d_mlp"]) -> Float[Tensor, "*batch d_mlp"]:
    """GELU by a sigmoid, `x * sigmoid(1.702 x)` (Hendrycks and Gimpel, 2016)."""
    return x * torch.sigmoid(1.702 * x)


def relu2(x: Float[Tensor, "*batch d_mlp"]) -> Float[Tensor, "*batch d_mlp"]:
    """ReLU, squared (So et al., 2021, arXiv:2109.08668)."""
    return F.relu(x).square()


# "gelu_new", "gelu_fast" and "gelu_pytorch_tanh" are one function that models call by three names;
# "solu_ln" is SoLU with a LayerNorm after it, which the MLP adds.
ACTIVATIONS: dict[str, Activation] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu2": relu2,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "solu": solu,
    "solu_ln": solu,
}


def activation(act_fn: str | Activation) -> Activation:
    """The function that `act_fn` names, or `act_fn` itself."""
    return ACTIVATIONS[act_fn] if isinstance(act_fn, str) else act_fn
