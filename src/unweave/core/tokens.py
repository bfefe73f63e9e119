"""The check that every door for tokens shares."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.core.errors import InputError


def require_tokens(
    tokens: Tensor, d_vocab: int, least: int = 1, most: int | None = None
) -> Int[Tensor, "batch pos"]:
    """`tokens` as int64, if they are `[batch, pos]` whole numbers from 0 to `d_vocab - 1`.

    Args:
        least, most: how many positions there may be; None is any number.

    Raises:
        InputError: if they are not.
    """
    if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32):
        got = str(tokens.dtype) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise InputError(
            wanted="tokens as a tensor of dtype int64", got=got, remedy="write torch.as_tensor(tokens).long()"
        )
    fits = tokens.ndim == 2 and least <= tokens.shape[1] and (most is None or tokens.shape[1] <= most)
    if not fits or tokens.numel() == 0:
        number = f"at least {least}" if most is None else f"{least} to n_ctx={most}"
        raise InputError(
            wanted=f"tokens [batch, pos] with {number} positions",
            got=f"shape {tuple(tokens.shape)}",
            remedy="cut or reshape the sequences" + ("" if most is None else ", or raise n_ctx"),
        )
    low, high = torch.stack(torch.aminmax(tokens)).tolist()
    if low < 0 or high >= d_vocab:
        raise InputError(
            wanted=f"tokens from 0 to {d_vocab - 1}",
            got=f"values from {low} to {high}",
            remedy="check the vocabulary that they were made with",
        )
    return tokens.long()
