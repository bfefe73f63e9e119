"""How weights begin, where they are `[d_in, d_out]` or `[head, d_in, d_out]`."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.model.init import fan

# What torch.nn.init.calculate_gain takes.
NonlinearityType = Literal[
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "selu",
]


def calc_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many numbers a weight reads and writes: of a vector 1 and its length; torch has them the other way round.

    Raises:
        InputError: for a number, or more than three dimensions.
    """
    match tensor.ndim:
        case 1:
            return 1, tensor.shape[0]
        case 2 | 3:
            return fan(tensor)
        case _:
            raise InputError(
                wanted="a vector, a matrix, or a matrix a head, for its fan in and out",
                got=f"shape {tuple(tensor.shape)}",
                remedy="reshape it",
            )


def init_xavier_uniform_(param: Tensor, gain: int | float = 1.0) -> Tensor:
    """Uniform with standard deviation `gain * sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio, 2010)."""
    bound = math.sqrt(3) * _xavier(param, gain)
    return nn.init.uniform_(param, -bound, bound)


def init_xavier_normal_(param: Tensor, gain: int | float = 1.0) -> Tensor:
    """Normal with standard deviation `gain * sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio, 2010)."""
    return nn.init.normal_(param, std=_xavier(param, gain))


def init_kaiming_uniform_(
    param: Tensor,
    a: int | float = 0,
    nonlinearity: NonlinearityType = "relu",
    gain: int | float = 1.0,
    mode: str = "fan_in",
) -> Tensor:
    """Uniform with standard deviation `gain * calculate_gain(nonlinearity, a) / sqrt(fan)` (He et al., 2015).

    Args:
        mode: "fan_in", or else the fan out counts.
    """
    bound = math.sqrt(3) * _kaiming(param, a, nonlinearity, gain, mode)
    return nn.init.uniform_(param, -bound, bound)


def init_kaiming_normal_(
    param: Tensor,
    a: int | float = 0,
    nonlinearity: NonlinearityType = "relu",
    gain: int | float = 1.0,
    mode: str = "fan_in",
) -> Tensor:
    """Normal with standard deviation `gain * calculate_gain(nonlinearity, a) / sqrt(fan)` (He et al., 2015)."""
    return nn.init.normal_(param, std=_kaiming(param, a, nonlinearity, gain, mode))


def _xavier(param: Tensor, gain: int | float) -> float:
    return gain * math.sqrt(2 / sum(calc_fan_in_and_fan_out(param)))


def _kaiming(
    param: Tensor, a: int | float, nonlinearity: NonlinearityType, gain: int | float, mode: str
) -> float:
    fan_in, fan_out = calc_fan_in_and_fan_out(param)
    gain *= torch.nn.init.calculate_gain(nonlinearity, a)
    return gain / math.sqrt(fan_in if mode == "fan_in" else fan_out)
