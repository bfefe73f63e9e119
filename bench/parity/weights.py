"""Random weights and tokens: nothing left at zero or one, and no activation saturated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.parity.grid import BATCH, POSITIONS

Tensors = dict[str, Tensor]


def random_weights(shapes: Tensors, seed: int = 0) -> Tensors:
    """A tensor like each of these: matrices so scaled that products keep a spread of about one."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: _fill(name, like, torch.randn(like.shape, generator=generator, dtype=torch.float64)).to(like)
        for name, like in shapes.items()
    }


def _fill(name: str, like: Tensor, noise: Tensor) -> Tensor:
    last = name.rpartition(".")[2]
    if last in ("W_E", "W_pos"):
        return noise
    if last == "w":
        return 1 + 0.3 * noise
    if like.ndim < 2 or last.lstrip("_").startswith("b_"):
        return 0.3 * noise
    # W_Q and the like are [..., in, out]; torch's own Linear keeps `weight` as [out, in].
    return noise / like.shape[-1 if last == "weight" else -2] ** 0.5


def random_tokens(config: dict[str, Any], batch: int = BATCH, positions: int = POSITIONS) -> Tensor:
    """Whole numbers below d_vocab, `[batch, pos]`."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, config["d_vocab"], (batch, positions), generator=generator)


def padding_mask(side: str, batch: int = BATCH, positions: int = POSITIONS) -> Tensor:
    """Ones at tokens and zeros at padding: the b-th sequence is padded by b positions."""
    mask = torch.ones(batch, positions, dtype=torch.int64)
    for row in range(batch):
        mask[row, slice(0, row) if side == "left" else slice(positions - row, None)] = 0
    return mask
