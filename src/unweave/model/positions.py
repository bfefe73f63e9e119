"""Positional embeddings: tables that are added to the residual stream, or read beside it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.model.config import HookedTransformerConfig
from unweave.model.run import Run

# The kinds that have a table; the others act inside attention, or there are none.
IN_A_TABLE = ("standard", "sinusoidal", "shortformer")


class PosEmbed(nn.Module):
    """A learned table `W_pos` `[n_ctx, d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(cfg.n_ctx, cfg.d_model))

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], run: Run | None = None
    ) -> Float[Tensor, "batch pos d_model"]:
        """The row of each position, once a sequence; zeros for padding."""
        return _rows(self.W_pos, x, run)


class SinusoidalPosEmbed(nn.Module):
    """The fixed table of Vaswani et al. (2017, arXiv:1706.03762): sines in even dimensions,
    cosines in odd ones, wavelengths from 2 pi to 10,000 * 2 pi. Not trained, not saved.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        with torch.device("cpu"):
            self.register_buffer("table", sinusoidal_table(cfg.n_ctx, cfg.d_model), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], run: Run | None = None
    ) -> Float[Tensor, "batch pos d_model"]:
        """The row of each position, once a sequence; zeros for padding."""
        return _rows(self.get_buffer("table").to(x.dtype), x, run)


def make_pos_embed(cfg: HookedTransformerConfig) -> PosEmbed | SinusoidalPosEmbed | None:
    """The table that `cfg.positional_embedding_type` names, if it has one."""
    if cfg.positional_embedding_type not in IN_A_TABLE:
        return None
    return SinusoidalPosEmbed(cfg) if cfg.positional_embedding_type == "sinusoidal" else PosEmbed(cfg)


def sinusoidal_table(n_ctx: int, d_model: int) -> Float[Tensor, "n_ctx d_model"]:
    """`table[i, 2k] = sin(i / 10000^(2k / d_model))`, and the cosine in `table[i, 2k + 1]`; float64."""
    position = torch.arange(n_ctx, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10_000.0) / d_model))
    table = torch.zeros(n_ctx, d_model, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)[:, : d_model // 2]
    return table


def _rows(table: Tensor, x: Tensor, run: Run | None) -> Tensor:
    run = Run.over(x) if run is None else run
    if run.attended is None:
        # A copy: what a cache keeps must not be the weights themselves.
        return table[run.offset : run.n_key].expand_as(x).clone()
    rows = table[run.positions[:, run.offset :]]
    return rows.masked_fill(~run.attended[:, run.offset :, None], 0.0)
