"""Positions as a bias on attention scores: ALiBi's slopes, and T5's learned buckets."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.model.config import HookedTransformerConfig
from unweave.model.run import Run


def alibi_bias(
    cfg: HookedTransformerConfig, run: Run, dtype: torch.dtype
) -> Float[Tensor, "#batch head query key"]:
    """`-slope * distance`, and 0 for the future (Press et al., 2021, arXiv:2108.12409).

    Padding counts for no distance. With `alibi_rounded`, a key has its slope times its position in
    bfloat16, and the bias is its difference from the query's own, which a softmax does not see.
    """
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    slopes = alibi_slopes(cfg, exact).to(run.device)
    positions = run.positions if run.attended is not None else run.positions[None]
    if cfg.alibi_rounded:
        of_key = (slopes.bfloat16()[:, None] * positions[:, None].bfloat16()).to(exact)
        return (of_key[:, :, None] - of_key[:, :, run.offset :, None]).clamp(max=0).to(dtype)
    ahead = (positions[:, None] - positions[:, run.offset :, None]).clamp(max=0)
    return (slopes[:, None, None] * ahead[:, None]).to(dtype)


def alibi_slopes(cfg: HookedTransformerConfig, dtype: torch.dtype) -> Float[Tensor, " head"]:
    """Each head's slope, by `alibi_slopes`."""

    def geometric(heads: int) -> Tensor:
        return 2.0 ** (-8.0 * torch.arange(1, heads + 1, dtype=dtype) / heads)

    below = 2 ** (cfg.n_heads.bit_length() - 1)
    if cfg.alibi_slopes == "geometric" or below == cfg.n_heads:
        return geometric(cfg.n_heads)
    return torch.cat([geometric(below), geometric(2 * below)[::2][: cfg.n_heads - below]])


class RelativePositionBias(nn.Module):
    """One number a head and bucket of distances, `weight` `[bucket, head]` (Raffel et al., 2020,
    arXiv:1910.10683).

    Layer 0 owns it, and its scores' bias is every layer's.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.relative_attention_num_buckets is not None
        assert cfg.relative_attention_max_distance is not None
        self.n_buckets, self.max_distance = (
            cfg.relative_attention_num_buckets,
            cfg.relative_attention_max_distance,
        )
        self.bidirectional = cfg.attention_dir == "bidirectional"
        self.weight = nn.Parameter(torch.empty(self.n_buckets, cfg.n_heads))

    def forward(self, run: Run) -> Float[Tensor, "1 head query key"]:
        """The bias of every query and key of `run`."""
        keys = torch.arange(run.n_key, device=self.weight.device)
        ahead = keys - keys[run.offset :, None]
        return self.weight[self.buckets(ahead)].permute(2, 0, 1)[None]

    def buckets(self, ahead: Int[Tensor, "query key"]) -> Int[Tensor, "query key"]:
        """Which bucket a key falls into that stands `ahead` positions after its query.

        Half of the buckets hold one distance each; the others' bounds grow by a constant factor,
        up to `max_distance` and beyond. With attention both ways, keys before and after a query
        have half of all buckets each; with causal attention, later keys share bucket 0.
        """
        n, start = self.n_buckets, torch.zeros_like(ahead)
        if self.bidirectional:
            n //= 2
            start, distance = (ahead > 0) * n, ahead.abs()
        else:
            distance = (-ahead).clamp_min(0)
        exact = n // 2
        growth = torch.log(distance.clamp_min(1).float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (growth * (n - exact)).long()).clamp(max=n - 1)
        return start + torch.where(distance < exact, distance, far)
