"""Tokens in, logits out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.biases import add_bias
from unweave.model.config import HookedTransformerConfig
from unweave.model.linear import linear
from unweave.model.norm import LayerNorm, NoNorm, make_norm
from unweave.model.text.vocabulary import size_of

Residual = Float[Tensor, "batch pos d_model"]


class Embed(nn.Module):
    """One row of `W_E` `[d_vocab, d_model]` a token, times `embedding_scale`, through `ln` if there is one."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.scale = cfg.embedding_scale
        d_vocab = size_of(None) if cfg.d_vocab == -1 else cfg.d_vocab
        self.W_E = nn.Parameter(torch.empty(d_vocab, cfg.d_model))
        self.ln = LayerNorm(cfg) if cfg.post_embedding_ln else None

    def forward(self, tokens: Int[Tensor, "*batch"] | Sequence[int]) -> Float[Tensor, "*batch d_model"]:
        """Each token's row. Tokens may have any shape, and be in a list or a range: `embed(range(d_vocab))`."""
        if not isinstance(tokens, Tensor):
            tokens = torch.as_tensor(tokens, device=self.W_E.device)
        rows = nn.functional.embedding(tokens, self.W_E)
        rows = rows if self.scale == 1.0 else rows * self.scale
        return rows if self.ln is None else self.ln(rows)


class TokenTypeEmbed(nn.Module):
    """One row of `W_token_type` `[n_token_types, d_model]` a token, by its type: BERT's segments."""

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        self.W_token_type = nn.Parameter(torch.empty(cfg.n_token_types, cfg.d_model))

    def forward(self, types: Int[Tensor, "batch pos"]) -> Residual:
        """Each type's row."""
        return nn.functional.embedding(types, self.W_token_type)


class Unembed(nn.Module):
    """`x @ W_U + b_U`, with `W_U` `[d_model, d_vocab_out]`.

    `hook_in` is what the final norm gives, `hook_out` the product, before any multiplier or cap.
    """

    b_U: Tensor

    def __init__(self, cfg: HookedTransformerConfig) -> None:
        super().__init__()
        if not cfg.tie_word_embeddings:
            self.W_U = nn.Parameter(torch.empty(cfg.d_model, cfg.d_vocab_out))
        add_bias(self, cfg, "b_U", (cfg.d_vocab_out,))
        self.hook_in, self.hook_out = HookPoint(), HookPoint()

    def forward(self, x: Residual) -> Float[Tensor, "batch pos d_vocab_out"]:
        """Logits, from the output of the final norm."""
        return self.hook_out(linear(self.hook_in(x), self.W_U, self.b_U))


class TiedUnembed(Unembed):
    """An unembedding whose `W_U` is the embedding's `W_E`, transposed."""

    def __init__(self, cfg: HookedTransformerConfig, embed: Embed) -> None:
        super().__init__(cfg)
        # In a tuple, so that the embedding is not registered here a second time.
        self._tied = (embed,)

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        return self._tied[0].W_E.t()


def make_unembed(cfg: HookedTransformerConfig, embed: Embed) -> Unembed:
    """The unembedding, tied to `embed` if the config says so."""
    return TiedUnembed(cfg, embed) if cfg.tie_word_embeddings else Unembed(cfg)


def make_final_norm(cfg: HookedTransformerConfig) -> nn.Module:
    """The norm before the unembedding: the config's, or an RMS norm in place of a LayerNorm.

    A stream that is normed after every addition has none.
    """
    if cfg.norm_position == "stream":
        return NoNorm()
    if not cfg.final_rms:
        return make_norm(cfg)
    kind = {"LN": "RMS", "LNPre": "RMSPre"}[str(cfg.normalization_type)]
    return make_norm(cfg.replaced(normalization_type=kind, final_rms=False))
