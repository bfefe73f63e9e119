"""Causal self-attention, fused unless someone reads or edits its scores or pattern."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.config import HookedTransformerConfig
from unweave.model.kernels import attention_kernel
from unweave.model.linear import linear

Residual = Float[Tensor, "batch pos d_model"]
PerHead = Float[Tensor, "batch pos head d_head"]


class Attention(nn.Module):
    """Heads with weights `W_Q, W_K, W_V` `[head, d_model, d_head]`, `W_O` `[head, d_head, d_model]`.

    `hook_q/k/v/z` are `[batch, pos, head, d_head]`, `hook_attn_scores` (masked, -inf above the
    diagonal) and `hook_pattern` `[batch, head, query, key]`; `hook_result`, each head's own
    output `[batch, pos, head, d_model]`, is computed when a hook names it.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        heads, d_model, d_head = cfg.n_heads, cfg.d_model, cfg.d_head
        for name in ("Q", "K", "V"):
            self.register_parameter(f"W_{name}", nn.Parameter(torch.empty(heads, d_model, d_head)))
            self.register_parameter(f"b_{name}", nn.Parameter(torch.zeros(heads, d_head)))
        self.W_O = nn.Parameter(torch.empty(heads, d_head, d_model))
        self.b_O = nn.Parameter(torch.zeros(d_model))
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern = HookPoint(), HookPoint()
        self.hook_z = HookPoint()
        self.hook_result = HookPoint(on_demand=True)

    def forward(self, x: Residual) -> Residual:
        """What all heads together add to the residual stream."""
        q = self.hook_q(self.project(x, "Q"))
        k = self.hook_k(self.project(x, "K"))
        v = self.hook_v(self.project(x, "V"))
        watched = self.hook_attn_scores.active or self.hook_pattern.active
        kernel = "explicit" if watched else attention_kernel(q.device.type, q.shape[1])
        z = self.hook_z(self.explicit(q, k, v) if kernel == "explicit" else self.fused(q, k, v))
        if self.hook_result.active:
            result = torch.einsum("bphe,hed->bphd", z, self.W_O).to(z.dtype)
            return self.hook_result(result).sum(2) + self.b_O
        return linear(z.flatten(2), self.W_O.flatten(0, 1), self.b_O)

    def project(self, x: Residual, which: str) -> PerHead:
        """The input read by every head's queries ("Q"), keys ("K") or values ("V")."""
        weight: Tensor = getattr(self, f"W_{which}")
        bias: Tensor = getattr(self, f"b_{which}")
        flat = linear(x, weight.transpose(0, 1).flatten(1), bias.flatten())
        return flat.unflatten(-1, (self.cfg.n_heads, self.cfg.d_head))

    def fused(self, q: PerHead, k: PerHead, v: PerHead) -> PerHead:
        """PyTorch's scaled_dot_product_attention, given back in the dtype of `q`."""
        z = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            is_causal=True,
            scale=1.0 / self.cfg.attn_scale,
        )
        return z.transpose(1, 2).to(q.dtype)

    def explicit(self, q: PerHead, k: PerHead, v: PerHead) -> PerHead:
        """The same, step by step, with its scores and pattern as hookable places.

        Under autocast the two products are bf16; scores, softmax and pattern keep the dtype of `q`.
        """
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k).to(q.dtype) / self.cfg.attn_scale
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = self.hook_attn_scores(scores.masked_fill(future, -math.inf))
        pattern = self.hook_pattern(scores.softmax(-1))
        return torch.einsum("bhqk,bkhe->bqhe", pattern, v).to(q.dtype)
