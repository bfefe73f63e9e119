"""Two-layer models whose layer 1 is written by hand: any table of scores, any copying of tokens.

The residual stream has three parts: the token read in (`d_vocab` dimensions), the position
(one dimension each), and what attention writes (`d_vocab` dimensions). Layer 0 and both MLPs
write nothing, and there is no norm.
"""

import torch

from unweave.experiments.no_position.study import Study
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

D_VOCAB, N_CTX = 40, 32


def study(scores: torch.Tensor, copy: float = 10.0, embed: float = 0.0, sequences: int = 128) -> Study:
    """Layer 1's scores are `scores[query, key]`; a key's token is copied with weight `copy`.

    `embed` is the direct weight of the current token in its own logit.
    """
    return Study(_planted(scores, copy, embed), _one_layer(), seed=0, sequences=sequences)


def _config(n_layers: int, positions: str, d_model: int, d_head: int) -> HookedTransformerConfig:
    return HookedTransformerConfig(
        n_layers=n_layers,
        d_model=d_model,
        n_ctx=N_CTX,
        d_head=d_head,
        n_heads=1,
        d_mlp=1,
        d_vocab=D_VOCAB,
        act_fn="relu",
        attn_scale=1.0,
        normalization_type=None,
        positional_embedding_type=positions,
        seed=0,
    )


def _one_layer() -> HookedTransformer:
    return HookedTransformer(_config(1, "none", 8, 8))


@torch.no_grad()
def _planted(scores: torch.Tensor, copy: float, embed: float) -> HookedTransformer:
    d_head = max(N_CTX, D_VOCAB)
    model = HookedTransformer(_config(2, "standard", 2 * D_VOCAB + N_CTX, d_head))
    for parameter in model.parameters():
        parameter.zero_()
    token, position = slice(0, D_VOCAB), slice(D_VOCAB, D_VOCAB + N_CTX)
    written = slice(D_VOCAB + N_CTX, None)
    model.embed.W_E[:, token] = torch.eye(D_VOCAB)
    model.pos_embed.W_pos[:, position] = torch.eye(N_CTX)
    attention = model.blocks[1].attn
    attention.W_Q[0, position, :N_CTX] = scores
    attention.W_K[0, position, :N_CTX] = torch.eye(N_CTX)
    attention.W_V[0, token, :D_VOCAB] = torch.eye(D_VOCAB)
    attention.W_O[0, :D_VOCAB, written] = copy * torch.eye(D_VOCAB)
    model.unembed.W_U[written] = torch.eye(D_VOCAB)
    model.unembed.W_U[token] = embed * torch.eye(D_VOCAB)
    return model


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Query and key positions, to write tables with."""
    n = torch.arange(N_CTX, dtype=torch.float32)
    return n[:, None], n[None, :]


def matching(sharpness: float = 3.0) -> torch.Tensor:
    i, j = grid()
    return -sharpness * (i - 1 - j).abs()


def recency(slope: float = 1.0) -> torch.Tensor:
    i, j = grid()
    return slope * j + 0.0 * i


def gain() -> torch.Tensor:
    i, j = grid()
    return (0.2 + 1.8 * i / N_CTX) * j
