"""The norms of queries and keys."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.config import HookedTransformerConfig
from unweave.model.norm import LayerNorm, Norm, RMSNorm

PerHead = Float[Tensor, "batch pos head d_head"]


class HeadNorm(nn.Module):
    """An RMS norm or LayerNorm of queries or keys with weights `w` `[head, d_head]`, and for a
    LayerNorm biases `b`: over each head (`qk_norm_scope` "each_head"), or over all heads' numbers
    together ("all_heads").

    `hook_scale` is the divisor `[batch, pos, head, 1]`, of all heads together `[batch, pos, 1, 1]`;
    `hook_normalized` is the quotient before the weights. In 16 bits both are float32, as in `Norm`.

    Args:
        heads: how many heads there are that have queries, or keys, of their own.
    """

    def __init__(self, cfg: HookedTransformerConfig, heads: int) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.centres = cfg.qk_norm_type == "LN"
        self.over = (-2, -1) if cfg.qk_norm_scope == "all_heads" else (-1,)
        self.w = nn.Parameter(torch.ones(heads, cfg.d_head))
        self.b = nn.Parameter(torch.zeros(heads, cfg.d_head)) if self.centres else None
        self.hook_scale, self.hook_normalized = HookPoint(), HookPoint()

    def forward(self, x: PerHead) -> PerHead:
        """The normed queries or keys."""
        raised = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        if self.centres:
            raised = raised - raised.mean(self.over, keepdim=True)
        scale = self.hook_scale((raised.pow(2).mean(self.over, keepdim=True) + self.eps).sqrt())
        normed = self.hook_normalized(raised / scale).to(x.dtype) * self._of_heads(self.w, x.shape[2])
        return normed if self.b is None else normed + self._of_heads(self.b, x.shape[2])

    def _of_heads(self, weight: Float[Tensor, "group d_head"], heads: int) -> Float[Tensor, "head d_head"]:
        # Keys may have been repeated for every head before they get here.
        return weight if len(weight) == heads else weight.repeat_interleave(heads // len(weight), 0)


def make_head_norm(cfg: HookedTransformerConfig, heads: int) -> Norm | HeadNorm:
    """The norm that `qk_norm_type` and `qk_norm_scope` name (Henry et al., 2020, arXiv:2010.04245)."""
    if cfg.qk_norm_scope != "head":
        return HeadNorm(cfg, heads)
    # Of single heads, the same weights for all.
    return LayerNorm(cfg, cfg.d_head) if cfg.qk_norm_type == "LN" else RMSNorm(cfg, cfg.d_head)
