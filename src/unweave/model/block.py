"""One layer: attention and MLP, each added to the residual stream."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.attention import Attention
from unweave.model.config import HookedTransformerConfig
from unweave.model.mlp import MLP
from unweave.model.norm import make_norm


class TransformerBlock(nn.Module):
    """`resid_mid = resid_pre + attn(ln1(resid_pre))`, `resid_post = resid_mid + mlp(ln2(resid_mid))`."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.attn_only = cfg.attn_only
        self.hook_resid_pre, self.hook_attn_out = HookPoint(), HookPoint()
        self.ln1 = make_norm(cfg)
        self.attn = Attention(cfg)
        if not cfg.attn_only:
            self.hook_resid_mid, self.hook_mlp_out = HookPoint(), HookPoint()
            self.ln2 = make_norm(cfg)
            self.mlp = MLP(cfg)
        self.hook_resid_post = HookPoint()

    def forward(self, resid: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after this layer."""
        resid = self.hook_resid_pre(resid)
        resid = resid + self.hook_attn_out(self.attn(self.ln1(resid)))
        if not self.attn_only:
            resid = self.hook_resid_mid(resid)
            resid = resid + self.hook_mlp_out(self.mlp(self.ln2(resid)))
        return self.hook_resid_post(resid)
