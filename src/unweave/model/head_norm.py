"""The norm of single heads' queries and keys."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.config import HookedTransformerConfig

PerHead = Float[Tensor, "batch pos head d_head"]


class HeadNorm(nn.Module):
    """An RMS norm over `d_head` with weights `w`, the same for all heads (Henry et al., 2020,
    arXiv:2010.04245, with the RMS norm of later models).

    `hook_scale` is the divisor `[batch, pos, head, 1]`, `hook_normalized` the quotient before the
    weights, as TransformerLens has them in its RMS norm, there with the first three dimensions flat.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_head))
        self.hook_scale, self.hook_normalized = HookPoint(), HookPoint()

    def forward(self, x: PerHead) -> PerHead:
        """The normed queries or keys."""
        scale = self.hook_scale((x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(x / scale) * self.w
