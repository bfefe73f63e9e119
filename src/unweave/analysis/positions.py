"""What activations and attention say about position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class BosFit:
    """Attention to BOS by query position, beside the curve `1 / (1 + c i)`.

    `r2` is that of `share` around its mean, over queries i >= 1; nan for a constant share.
    """

    c: float
    r2: float
    share: Float[Tensor, " query"]
    fitted: Float[Tensor, " query"]


def bos_share(pattern: Float[Tensor, "query key"]) -> BosFit:
    """Fit `a(i) = 1 / (1 + c i)` to the attention that key 0 gets from query i >= 1.

    A row that is uniform but for key 0 has exactly this shape, with `c` the weight of another key
    relative to key 0: a good fit is no evidence that anything was learned. `c` is the least-squares
    slope of `1 / a(i) - 1` through the origin, so small shares and late queries weigh most.
    """
    share = pattern[:, 0].double()
    i = torch.arange(len(share), dtype=torch.float64, device=share.device)
    others = 1.0 / share.clamp_min(TINY) - 1.0
    c = ((i * others)[1:].sum() / (i * i).sum()).item()
    fitted = 1.0 / (1.0 + c * i)
    return BosFit(c, r_squared(share[1:], fitted[1:]), share, fitted)


def log_attention_spread(pattern: Float[Tensor, "*batch query key"]) -> Float[Tensor, "*batch"]:
    """The standard deviation of log-attention over keys 1 .. i, averaged over queries i >= 2.

    0 means uniform but for key 0; 0.1 means that keys differ by about 10%.
    """
    logs = pattern.double().clamp_min(TINY).log()
    rows = [logs[..., i, 1 : i + 1].std(-1, correction=0) for i in range(2, pattern.shape[-1])]
    return torch.stack(rows).mean(0).float()


def row_entropy(pattern: Float[Tensor, "*batch query key"], first: int = 2) -> Float[Tensor, "*batch"]:
    """The entropy of each row over that of a uniform one, `log(i + 1)`, averaged over queries i >= first.

    1 means uniform over keys 0 .. i. `first` is at least 1: query 0 has one key and no entropy.
    """
    entropy = -torch.special.xlogy(pattern, pattern).sum(-1)
    uniform = torch.arange(1, pattern.shape[-2] + 1, device=pattern.device).log()
    return (entropy[..., first:] / uniform[first:]).mean(-1)


@dataclass(frozen=True)
class Components:
    """Principal components of per-position means.

    `share` is each component's part of the variance, `projection` where each position lies,
    `directions` the orthonormal components, their signs arbitrary, and `correlation` the absolute
    correlation of the first one's projection with position (nan if the table is constant).
    """

    share: Float[Tensor, " k"]
    projection: Float[Tensor, "pos k"]
    directions: Float[Tensor, "k d"]
    correlation: float


def principal_components(means: Float[Tensor, "pos d"], k: int = 2) -> Components:
    """PCA of a table with one row a position, by SVD of the centred table."""
    centred = means.double() - means.double().mean(0)
    u, s, vh = torch.linalg.svd(centred, full_matrices=False)
    share = s**2 / (s**2).sum().clamp_min(torch.finfo(torch.float64).tiny)
    projection = u[:, :k] * s[:k]
    position = torch.arange(len(means), dtype=torch.float64, device=means.device)
    correlation = torch.corrcoef(torch.stack([projection[:, 0], position]))[0, 1].abs().item()
    return Components(share[:k], projection, vh[:k], correlation)


def switching_neurons(post: Float[Tensor, "batch pos d_mlp"], swing: float = 0.9) -> tuple[int, int]:
    """How many neurons' firing rate ranges over more than `swing` across positions; how many never fire.

    Where position 0 always holds the same token, a neuron that answers to that token counts as
    switching: leave position 0 out (`post[:, 1:]`) to count position alone.
    """
    rate = (post > 0).float().mean(0)
    ranges = rate.amax(0) - rate.amin(0)
    return int((ranges > swing).sum()), int((rate.amax(0) == 0).sum())


def r_squared(target: Float[Tensor, " n"], predicted: Float[Tensor, " n"]) -> float:
    """1 minus the residual sum of squares over the total one; nan for a constant target."""
    total = (target - target.mean()).pow(2).sum().item()
    return 1.0 - (target - predicted).pow(2).sum().item() / total if total else math.nan
