"""How well the next token is predicted."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.model.loss import next_token_loss


def lm_cross_entropy_loss(
    logits: Float[Tensor, "*batch pos d_vocab"],
    tokens: Int[Tensor, "*batch pos"],
    attention_mask: Tensor | None = None,
    per_token: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, "*batch predicted"]:
    """Cross-entropy in nats of each next token, `[..., pos - 1]`, or the mean over all of them.

    Where there is no next token to predict the mean is NaN, with a warning.

    Args:
        attention_mask: 0 for padding. What is predicted at padding, or of it, is 0 by token, and not
            in the mean.

    Raises:
        InputError: for a mask of another shape, or a token that logits don't cover.
    """
    if attention_mask is not None and attention_mask.shape != tokens.shape:
        raise InputError(
            wanted=f"attention_mask of shape {tuple(tokens.shape)}, that of tokens",
            got=str(tuple(attention_mask.shape)),
            remedy="one number a token: 1 for tokens, 0 for padding",
        )
    attended = None if attention_mask is None else _rows(attention_mask.bool())
    if tokens.shape[-1] < 2 or (attended is not None and not (attended[:, 1:] & attended[:, :-1]).any()):
        if per_token:
            return logits.new_zeros(*tokens.shape[:-1], max(tokens.shape[-1] - 1, 0))
        warn("lm_cross_entropy_loss: there is no next token to predict, so the loss is NaN")
        return logits.new_full((), torch.nan)
    loss = next_token_loss(
        logits.flatten(0, -3) if logits.ndim > 2 else logits[None], _rows(tokens), attended, per_token
    )
    return loss.view(*tokens.shape[:-1], -1) if per_token else loss


def lm_accuracy(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"], per_token: bool = False
) -> Float[Tensor, ""] | Bool[Tensor, "batch predicted"]:
    """Whether the likeliest token is the next one, `[batch, pos - 1]`, or the share of those for which it is."""
    right = logits[:, :-1].argmax(-1) == tokens[:, 1:]
    return right if per_token else right.float().mean()


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1, tensor.shape[-1])
