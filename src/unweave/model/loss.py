"""The loss of predicting the next token."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.core.errors import InputError

Loss = Float[Tensor, ""] | Float[Tensor, "batch predicted"]


class Output(NamedTuple):
    """What `return_type="both"` gives."""

    logits: Float[Tensor, "batch pos d_vocab_out"]
    loss: Loss


def next_token_loss(
    logits: Float[Tensor, "batch pos d_vocab_out"],
    tokens: Int[Tensor, "batch pos"],
    attended: Bool[Tensor, "batch pos"] | None = None,
    per_token: bool = False,
) -> Loss:
    """Cross-entropy in nats of each next token, `[batch, pos - 1]`, or the mean over all of them.

    Args:
        attended: False for padding. A prediction made at padding, or of it, is 0 by token and
            left out of the mean.

    Raises:
        InputError: if there is no next token to predict, or one that logits don't cover.
    """
    _require_covered(logits, tokens)
    lost = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:].to(logits.device), reduction="none")
    if attended is None:
        return lost if per_token else lost.mean()
    counted = attended[:, :-1] & attended[:, 1:]
    lost = lost.masked_fill(~counted, 0.0)
    if per_token:
        return lost
    if not counted.any():
        raise InputError(
            wanted="two attended tokens next to each other, to predict one from the other",
            got="none",
            remedy="check attention_mask: it is 1 where there is a token, 0 where there is padding",
        )
    return lost.sum() / counted.sum()


def _require_covered(logits: Tensor, tokens: Tensor) -> None:
    if tokens.shape[1] < 2:
        raise InputError(
            wanted="at least 2 positions for the loss",
            got=f"{tokens.shape[1]}",
            remedy="pass longer sequences, or return_type='logits'",
        )
    # A look at the values would break a compiled graph.
    if not torch.compiler.is_compiling() and logits.shape[-1] <= int(tokens.max()):
        raise InputError(
            wanted=f"tokens below d_vocab_out={logits.shape[-1]} for the loss of the next token",
            got=f"a token {int(tokens.max())}",
            remedy="compute the loss from the logits yourself",
        )
