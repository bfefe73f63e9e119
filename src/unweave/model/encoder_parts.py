"""What an encoder has around its layers: a sum of three embeddings, normed, and its heads."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.activations import activation
from unweave.model.config import HookedTransformerConfig
from unweave.model.embedding import Embed, TokenTypeEmbed
from unweave.model.linear import linear
from unweave.model.norm import make_norm
from unweave.model.positions import PosEmbed

Residual = Float[Tensor, "batch pos d_model"]


class BertEmbed(nn.Module):
    """Embeddings of token, position and type, summed, through the norm `ln`.

    Positions are counted from the first, padding too, as BERT was trained with it on the right.
    """

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.embed, self.pos_embed, self.token_type_embed = Embed(cfg), PosEmbed(cfg), TokenTypeEmbed(cfg)
        self.ln = make_norm(cfg)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()
        self.hook_token_type_embed = HookPoint()

    def forward(self, tokens: Int[Tensor, "batch pos"], types: Int[Tensor, "batch pos"]) -> Residual:
        """The residual stream before layer 0."""
        embedded = self.hook_embed(self.embed(tokens))
        positions = self.hook_pos_embed(self.pos_embed(embedded))
        return self.ln(embedded + positions + self.hook_token_type_embed(self.token_type_embed(types)))


class BertMLMHead(nn.Module):
    """`ln(act(x @ W + b))`, with `W` `[d_model, d_model]`: what the unembedding reads."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        assert cfg.act_fn is not None
        self.W = nn.Parameter(torch.empty(cfg.d_model, cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))
        self.act_fn, self.ln = activation(cfg.act_fn), make_norm(cfg)

    def forward(self, resid: Residual) -> Residual:
        """The input of the unembedding, at every position."""
        return self.ln(self.act_fn(linear(resid, self.W, self.b)))


class BertPooler(nn.Module):
    """`tanh(x @ W + b)` of the first position, `hook_pooler_out` `[batch, d_model]`."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(cfg.d_model, cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))
        self.hook_pooler_out = HookPoint()

    def forward(self, resid: Residual) -> Float[Tensor, "batch d_model"]:
        """One vector a sequence."""
        return self.hook_pooler_out(torch.tanh(linear(resid[:, 0], self.W, self.b)))


class BertNSPHead(nn.Module):
    """Whether a second segment follows the first: `x @ W + b`, `hook_nsp_out` `[batch, 2]`, "yes" first."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(cfg.d_model, 2))
        self.b = nn.Parameter(torch.zeros(2))
        self.hook_nsp_out = HookPoint()

    def forward(self, pooled: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch 2"]:
        """Two logits a sequence."""
        return self.hook_nsp_out(linear(pooled, self.W, self.b))
