"""Tokens in, logits out."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.model.config import HookedTransformerConfig
from unweave.model.linear import linear


class Embed(nn.Module):
    """One row of `W_E` `[d_vocab, d_model]` a token."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(cfg.d_vocab, cfg.d_model))

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Each token's row."""
        return nn.functional.embedding(tokens, self.W_E)


class Unembed(nn.Module):
    """`x @ W_U + b_U`, with `W_U` `[d_model, d_vocab_out]`."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(cfg.d_model, cfg.d_vocab_out))
        self.b_U = nn.Parameter(torch.zeros(cfg.d_vocab_out))

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_vocab_out"]:
        """Logits, from the output of the final norm."""
        return linear(x, self.W_U, self.b_U)
