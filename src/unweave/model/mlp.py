"""The MLP: in, activation, out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.activations import ACTIVATIONS
from unweave.model.config import HookedTransformerConfig
from unweave.model.linear import linear


class MLP(nn.Module):
    """`act(x @ W_in + b_in) @ W_out + b_out`; `hook_pre` and `hook_post` are `[batch, pos, d_mlp]`."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.d_mlp is not None and cfg.act_fn is not None
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.b_in = nn.Parameter(torch.zeros(cfg.d_mlp))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))
        self.act_fn = ACTIVATIONS[cfg.act_fn]
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What this layer's MLP adds to the residual stream."""
        pre = self.hook_pre(linear(x, self.W_in, self.b_in))
        return linear(self.hook_post(self.act_fn(pre)), self.W_out, self.b_out)
