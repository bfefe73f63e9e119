"""Texts into tokens, and what a tokenizer put around them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from unweave.compat.transformer_lens.utilities.hf_utils import get_hf_token, keep_single_column
from unweave.core.errors import InputError


def tokenize_and_concatenate(
    dataset: Any,
    tokenizer: Any,
    streaming: bool = False,
    max_length: int = 1024,
    column_name: str = "text",
    add_bos_token: bool = True,
    num_proc: int | None = 10,
    set_format: bool = True,
) -> Any:
    """A dataset of texts as one of full rows of tokens, in a column "tokens".

    Texts are tokenized one by one, joined with EOS between them, and cut into rows of `max_length`,
    each with BOS in front. What is left at the end of a batch of texts is dropped, unless it is all
    there is: then it is padded. A tokenizer without a padding token is given one, "<PAD>", as in
    3.9; rows are padded with EOS then.

    Args:
        dataset: of the package `datasets`, or with its `features`, `remove_columns` and `map`.
        tokenizer: with the interface of Hugging Face's tokenizers.
        streaming: for datasets that are read as they come: no processes, and no `set_format` there.
        num_proc: how many processes; None is this one.
        set_format: let the dataset give tensors.

    Raises:
        InputError: for a tokenizer without EOS, or without BOS where that is to be added.
    """
    dataset, seq_len = keep_single_column(dataset, column_name), max_length - int(add_bos_token)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    if eos is None or (add_bos_token and bos is None):
        raise InputError(
            wanted="a tokenizer with EOS" + (", and BOS" if add_bos_token else ""),
            got="one without",
            remedy="set tokenizer.eos_token"
            + (" and bos_token, or pass add_bos_token=False" if add_bos_token else ""),
        )
    padding = tokenizer.pad_token_id
    if padding is None:
        tokenizer.add_special_tokens({"pad_token": "<PAD>"})
        padding = eos

    def rows(examples: Any) -> dict[str, NDArray[np.int64]]:
        texts = examples[column_name]
        tokens = _joined(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [], eos)
        if not len(tokens):
            return {"tokens": tokens}
        if len(tokens) < seq_len:
            tokens = np.pad(tokens, (0, seq_len - len(tokens)), constant_values=padding)
        whole = tokens[: len(tokens) // seq_len * seq_len].reshape(-1, seq_len)
        return {"tokens": np.insert(whole, 0, bos, axis=1) if add_bos_token else whole}

    with _unwarned(tokenizer):
        processes = {} if streaming else {"num_proc": num_proc}
        found = dataset.map(rows, batched=True, remove_columns=[column_name], **processes)
    if set_format:
        found.set_format(type="torch", columns=["tokens"])
    return found


def get_tokenizer_with_bos(tokenizer: Any) -> Any:
    """The tokenizer, loaded again so that it adds BOS by itself, if it doesn't; itself if it does, or has none.

    Unweave needs none of this: `model.to_tokens` adds what a tokenizer leaves out.
    """
    options = dict(tokenizer.init_kwargs)
    name = options.pop("name_or_path", None) or getattr(tokenizer, "name_or_path", None)
    adds = options.pop("add_bos_token", None)
    if tokenizer.bos_token is None or (getattr(tokenizer, "add_bos_token", False) if adds is None else adds):
        return tokenizer
    load = import_module("transformers").AutoTokenizer.from_pretrained
    try:
        found = load(name, add_bos_token=True, token=get_hf_token(), **options)
    except ValueError:
        return tokenizer  # some tokenizers cannot be told to
    found.padding_side = tokenizer.padding_side
    return found


def get_input_with_manually_prepended_bos(bos_token: str | None, input: Any) -> Any:
    """A text, or each of a list, with BOS written in front; as it is where there is no BOS."""
    if bos_token is None:
        return input
    return bos_token + input if isinstance(input, str) else [bos_token + text for text in input]


def get_tokens_with_bos_removed(
    tokenizer: Any, tokens: Int[Tensor, "... pos"], padding_side: str | None = None
) -> Int[Tensor, "... shorter"]:
    """Every row without its BOS, which is the first token, or with padding on the left the first behind that.

    Where BOS is the padding token, it is the last of those at the left. Without a BOS nothing changes.

    Args:
        padding_side: None is the tokenizer's.

    Raises:
        InputError: for a row without one.
    """
    bos = tokenizer.bos_token_id
    if bos is None:
        return tokens
    if (padding_side or tokenizer.padding_side) == "right":
        return tokens[..., 1:]
    padding = tokens.eq(tokenizer.pad_token_id).long().cumprod(-1)
    at = padding.sum(-1) - 1 if bos == tokenizer.pad_token_id else tokens.eq(bos).long().argmax(-1)
    if (at < 0).any():
        raise InputError(
            wanted="BOS in front of every row", got="a row that begins with text", remedy="pass rows with BOS"
        )
    kept = torch.arange(tokens.shape[-1], device=tokens.device) != at[..., None]
    return tokens[kept].view(*tokens.shape[:-1], -1)


def get_attention_mask(
    tokenizer: Any,
    tokens: Int[Tensor, "batch pos"],
    prepend_bos: bool,
    padding_side: str | None = None,
) -> Int[Tensor, "batch pos"]:
    """1 for tokens, 0 for padding: what runs of the padding token there are at that edge.

    On the left, where BOS is the padding token, the last of a run is BOS, if `prepend_bos`.

    Args:
        padding_side: None is the tokenizer's.
    """
    if tokenizer is None:
        return torch.ones_like(tokens)
    padding, side = tokenizer.pad_token_id, padding_side or tokenizer.padding_side
    if padding is None:
        return torch.ones_like(tokens)
    text = tokens.ne(padding).long()
    if side == "right":
        return text.flip(-1).cummax(-1).values.flip(-1).to(tokens.dtype)
    mask = text.cummax(-1).values
    if prepend_bos and tokenizer.bos_token_id == padding:
        # A row that begins with text has its BOS at place -1, the last: as in 3.9, that is attended.
        mask.scatter_(-1, (mask == 0).sum(-1, keepdim=True).sub(1) % tokens.shape[-1], 1)
    return mask.to(tokens.dtype)


def _joined(texts: list[list[int]], eos: int) -> NDArray[np.int64]:
    """Texts' tokens, with EOS between two texts."""
    parts = [np.asarray(part, dtype=np.int64) for text in texts for part in (text, [eos])]
    return np.concatenate(parts[:-1]) if parts else np.array([], dtype=np.int64)


@contextmanager
def _unwarned(tokenizer: Any) -> Generator[None]:
    """Within the block the tokenizer does not say that a text is longer than its model reads."""
    said = getattr(tokenizer, "deprecation_warnings", None)
    before = None if said is None else dict(said)
    try:
        if said is not None:
            said["sequence-length-is-longer-than-the-specified-maximum"] = True
        yield
    finally:
        if said is not None and before is not None:
            said.clear()
            said.update(before)
