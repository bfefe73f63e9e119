"""Positional embeddings that are added to the residual stream."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.model.config import HookedTransformerConfig


class PosEmbed(nn.Module):
    """A learned table `W_pos` `[n_ctx, d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The table's first rows, once a sequence."""
        # A copy: what a cache keeps must not be the weights themselves.
        return self.W_pos[: x.shape[1]].expand_as(x).clone()


class SinusoidalPosEmbed(nn.Module):
    """The fixed table of Vaswani et al. (2017, arXiv:1706.03762): sines in even dimensions,
    cosines in odd ones, wavelengths from 2 pi to 10,000 * 2 pi. Not trained, not saved.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.register_buffer("table", sinusoidal_table(cfg.n_ctx, cfg.d_model), persistent=False)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The table's first rows, once a sequence."""
        return self.get_buffer("table")[: x.shape[1]].to(x.dtype).expand_as(x).clone()


def sinusoidal_table(n_ctx: int, d_model: int) -> Float[Tensor, "n_ctx d_model"]:
    """`table[i, 2k] = sin(i / 10000^(2k / d_model))`, and the cosine in `table[i, 2k + 1]`; float64."""
    position = torch.arange(n_ctx, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10_000.0) / d_model))
    table = torch.zeros(n_ctx, d_model, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)[:, : d_model // 2]
    return table
