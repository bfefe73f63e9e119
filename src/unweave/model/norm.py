"""Normalisation layers, with the scale and the normalised input as hookable places."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.config import HookedTransformerConfig


class LayerNorm(nn.Module):
    """Centre, divide by the root of the mean square plus eps, then `* w + b`.

    `hook_scale` is the divisor, `[batch, pos, 1]`; `hook_normalized` is the output, weights
    included, as in TransformerLens. (Ba, Kiros and Hinton, 2016, arXiv:1607.06450.)
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The normalised input; step by step if someone reads or edits the scale, fused if not."""
        if not self.hook_scale.active:
            return self.hook_normalized(F.layer_norm(x, (x.shape[-1],), self.w, self.b, self.eps))
        centred = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(centred / scale * self.w + self.b)


class NoNorm(nn.Module):
    """No normalisation: the input itself, and no hookable places."""

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """`x` as it is."""
        return x


def make_norm(cfg: HookedTransformerConfig) -> nn.Module:
    """The layer that `cfg.normalization_type` names."""
    return {"LN": LayerNorm, None: lambda _: NoNorm()}[cfg.normalization_type](cfg)
