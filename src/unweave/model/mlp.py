"""The MLP: in, activation, out; or in, gate, out; or many of those."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.activations import activation
from unweave.model.biases import add_bias
from unweave.model.config import HookedTransformerConfig
from unweave.model.experts import MoE
from unweave.model.linear import linear
from unweave.model.norm import make_norm

Residual = Float[Tensor, "batch pos d_model"]


class MLP(nn.Module):
    """`act(x @ W_in + b_in) @ W_out + b_out`; `hook_pre` and `hook_post` are `[batch, pos, d_mlp]`.

    With "solu_ln" the activation is followed by a LayerNorm `ln` over the neurons: `hook_mid` is
    what goes into it, `hook_post` what comes out.
    """

    b_in: Tensor
    b_out: Tensor

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.d_mlp is not None and cfg.act_fn is not None
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        add_bias(self, cfg, "b_in", (cfg.d_mlp,))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        add_bias(self, cfg, "b_out", (cfg.d_model,))
        self.act_fn = activation(cfg.act_fn)
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()
        self.ln = None
        if cfg.act_fn == "solu_ln":
            self.hook_mid, self.ln = HookPoint(), _neuron_norm(cfg)

    def forward(self, x: Residual) -> Residual:
        """What this layer's MLP adds to the residual stream."""
        post = self.act_fn(self.hook_pre(linear(x, self.W_in, self.b_in)))
        if self.ln is not None:
            post = self.ln(self.hook_mid(post))
        return linear(self.hook_post(post), self.W_out, self.b_out)


class GatedMLP(nn.Module):
    """`(act(x @ W_gate) * (x @ W_in) + b_in) @ W_out + b_out` (Shazeer, 2020, arXiv:2002.05202).

    With `gate_biases` it is `(act(x @ W_gate + b_gate) * (x @ W_in + b_in)) @ W_out + b_out`.
    `hook_pre` is what goes into the activation, `hook_pre_linear` what it is multiplied with and
    `hook_post` what comes out, bias included, each `[batch, pos, d_mlp]`.
    """

    b_in: Tensor
    b_out: Tensor

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.d_mlp is not None and cfg.act_fn is not None
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model))
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp))
        self.b_gate = nn.Parameter(torch.zeros(cfg.d_mlp)) if cfg.gate_biases else None
        add_bias(self, cfg, "b_in", (cfg.d_mlp,))
        add_bias(self, cfg, "b_out", (cfg.d_model,))
        self.act_fn = activation(cfg.act_fn)
        self.hook_pre, self.hook_pre_linear, self.hook_post = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Residual) -> Residual:
        """What this layer's MLP adds to the residual stream."""
        gate = self.act_fn(self.hook_pre(linear(x, self.W_gate, self.b_gate)))
        if self.b_gate is None:
            post = gate * self.hook_pre_linear(linear(x, self.W_in, None)) + self.b_in
        else:
            post = gate * self.hook_pre_linear(linear(x, self.W_in, self.b_in))
        return linear(self.hook_post(post), self.W_out, self.b_out)


def make_mlp(cfg: HookedTransformerConfig) -> nn.Module:
    """The MLP that the config describes."""
    if cfg.num_experts is not None:
        return MoE(cfg)
    return GatedMLP(cfg) if cfg.gated_mlp else MLP(cfg)


def _neuron_norm(cfg: HookedTransformerConfig) -> nn.Module:
    """A LayerNorm over `d_mlp`; with weights only where the other norms are LayerNorms with weights."""
    kind = "LN" if cfg.normalization_type == "LN" else "LNPre"
    plain = {"use_normalization_before_and_after": False, "final_rms": False}
    return make_norm(cfg.replaced(d_model=cfg.d_mlp, normalization_type=kind, **plain))
