"""A tokenizer's size beside a model's vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.core.registry import reach
from unweave.model.text.tokenizer import AnyTokenizer, as_tokenizer


def tokenizer_for(cfg: Any, given: Any, padding_side: str | None) -> Any | None:
    """The tokenizer of a new model: the one given (False: none), or else the one that its config names.

    Raises:
        InputError: if it can't be loaded, or there is a padding side and no tokenizer.
    """
    if isinstance(given, str | Path):
        return reach("load_tokenizer")(given)
    if given is None and cfg.tokenizer_name is not None:
        return _named(cfg.tokenizer_name)
    found = None if given is False else given
    if found is None and padding_side is not None:
        raise InputError(
            wanted="a tokenizer, for default_padding_side",
            got="none",
            remedy="pass tokenizer=, or leave default_padding_side out",
        )
    return found


def size_of(tokenizer: Any) -> int:
    """The d_vocab of a model whose config leaves it to the tokenizer.

    Raises:
        InputError: if there is no tokenizer, or it does not tell.
    """
    size = None if tokenizer is None else as_tokenizer(tokenizer).size()
    if not size:
        raise InputError(
            wanted="d_vocab, or a tokenizer with get_vocab to take it from",
            got="neither" if tokenizer is None else f"a {type(tokenizer).__name__} without",
            remedy="set d_vocab in HookedTransformerConfig",
        )
    return size


def require_fit(tokenizer: AnyTokenizer, d_vocab: int) -> None:
    """Raise InputError for a tokenizer with tokens beyond `d_vocab`; of added ones it is only logged."""
    own, whole = tokenizer.size(added=False), tokenizer.size()
    if own is not None and own > d_vocab:
        raise InputError(
            wanted=f"a tokenizer with tokens below d_vocab={d_vocab}",
            got=f"one with tokens up to {own - 1}",
            remedy=f"pass the tokenizer that belongs to the model, or set d_vocab={whole} in its config",
        )
    if whole is not None and whole > d_vocab:
        log.warning(
            "the tokenizer has added tokens up to %d, and d_vocab is %d: a text that needs them is refused",
            whole - 1,
            d_vocab,
        )


def _named(name: str) -> Any:
    try:
        return reach("load_tokenizer")(name)
    except InputError as error:
        raise InputError(
            wanted=f"{error.wanted}, for tokenizer_name={name!r} in the config",
            got=error.got,
            remedy=f"{error.remedy}; or pass tokenizer=, which may be False for none",
        ) from error
