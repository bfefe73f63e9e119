"""Modules of other people's making, as small as they come."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def cnn(inplace: bool = False) -> nn.Sequential:
    """Two convolutions on 1 x 6 x 6 images; `layer1` is nested."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=inplace))
    model = nn.Sequential()
    model.add_module("layer1", layer)
    model.add_module("layer2", nn.Conv2d(2, 3, 3))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    return model


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 1, 6, 6, generator=torch.Generator().manual_seed(1))


class Tagger(nn.Module):
    """An LSTM, which returns `(output, (h, c))`, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.zeros(1, len(x), 4)
        output, _ = self.lstm(x, (start, start))
        return self.head(output)


class Twice(nn.Module):
    """`twofold(twofold(x) + 1)`: one submodule, called twice in a run."""

    def __init__(self) -> None:
        super().__init__()
        self.twofold = Double()

    def forward(self, x: Tensor) -> Tensor:
        return self.twofold(self.twofold(x) + 1)


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Scaled(nn.Module):
    """Takes tensors by keyword alone."""

    def forward(self, *, x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
        return x * scale if shift is None else x * scale + shift


class Keywords(nn.Module):
    """A module that calls another one with keywords alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = Scaled()

    def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
        return self.scaled(x=x, scale=scale)


@dataclass(frozen=True)
class Frozen:
    value: Tensor
    label: str = "kept"


Pair = namedtuple("Pair", ["left", "right"])


class Returns(nn.Module):
    """Its submodule returns whatever it was built with, made from the input."""

    def __init__(self, make: object) -> None:
        super().__init__()
        self.inner = Made(make)

    def forward(self, x: Tensor) -> object:
        return self.inner(x)


class Made(nn.Module):
    def __init__(self, make: object) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(x)
