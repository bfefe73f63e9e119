"""What counts as text, and what as tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.core.errors import InputError

Messages = Sequence[Mapping[str, Any]]
# Token ids: a number, a tensor, an array, or a list of any of them.
Numbers = Any


def is_text(input: object) -> bool:
    """Whether this is a text, a chat, or a list of them, and not numbers."""
    if isinstance(input, str):
        return True
    return isinstance(input, list | tuple) and bool(input) and (is_chat(input) or is_text(input[0]))


def is_chat(input: object) -> bool:
    """Whether this is one chat: a list of messages."""
    return isinstance(input, list | tuple) and bool(input) and all(isinstance(one, Mapping) for one in input)


def holds_chats(input: Any) -> bool:
    """Whether this is a chat, or a list of them."""
    return is_chat(input) or (not isinstance(input, str) and bool(input) and is_chat(input[0]))


def as_texts(input: Any, written: Callable[[Messages], str]) -> list[str]:
    """One text for each text or chat of `input`.

    Args:
        written: a chat, as text.

    Raises:
        InputError: for anything else.
    """
    if isinstance(input, str):
        return [input]
    if is_chat(input):
        return [written(input)]
    several = isinstance(input, list | tuple) and bool(input)
    if several and all(isinstance(one, str) for one in input):
        return list(input)
    if several and all(is_chat(one) for one in input):
        return [written(one) for one in input]
    raise InputError(
        wanted="a text, a list of texts, or a chat: a list of messages with role and content",
        got=f"an empty {type(input).__name__}" if input in ([], ()) else type(input).__name__,
        remedy="pass tokens to the model as they are; to_string makes text of them",
    )


def rows_of(tokens: Any) -> tuple[list[list[int]], bool]:
    """Sequences of token ids, and whether there were two dimensions.

    Raises:
        InputError: if these are not whole numbers in at most two dimensions.
    """
    if isinstance(tokens, list | tuple) and any(
        isinstance(one, list | tuple | Tensor | np.ndarray) for one in tokens
    ):
        # A list of single numbers in tensors is one sequence.
        parts = [np.asarray(_on_cpu(one)) for one in tokens]
        if all(part.ndim == 0 for part in parts):
            return rows_of(np.stack(parts))
        return [rows_of(part)[0][0] for part in parts], True
    array = np.asarray(_on_cpu(tokens))
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim > 2 or array.dtype.kind not in "iu":
        got = (
            f"{array.dtype} of shape {array.shape}" if array.dtype.kind in "biufc" else type(tokens).__name__
        )
        raise InputError(
            wanted="tokens: whole numbers, one sequence [pos] or a batch [batch, pos]",
            got=got,
            remedy="pass what to_tokens or generate gave",
        )
    if array.ndim == 2:
        return array.tolist(), True
    return [array.reshape(-1).tolist()], False


def _on_cpu(tokens: Any) -> Any:
    return tokens.detach().cpu() if isinstance(tokens, torch.Tensor) else tokens
