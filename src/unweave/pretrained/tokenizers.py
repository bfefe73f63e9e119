"""The tokenizer that belongs to a model's files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.model.transformer import HookedTransformer
from unweave.pretrained.files import Files
from unweave.pretrained.hub import Hub

# One of these is in every folder that has a tokenizer.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "tokenizer.model")


def load_tokenizer(files: Files) -> Any | None:
    """The tokenizer of a folder or of the hub; None if there is none, or transformers isn't installed."""
    if files.local and all(files.find(name) is None for name in TOKENIZER_FILES):
        return None
    try:
        transformers = import_module("transformers")
    except ImportError:
        log.info("transformers isn't installed: the model has no tokenizer")
        return None
    if isinstance(files, Hub):
        return transformers.AutoTokenizer.from_pretrained(files.repo, **files.asked())
    return transformers.AutoTokenizer.from_pretrained(str(files))


def attach_tokenizer(
    model: HookedTransformer, tokenizer: Any, prepend_bos: bool | None, padding_side: str | None
) -> None:
    """Give a model its tokenizer."""
    if prepend_bos is not None or padding_side is not None:
        raise InputError(
            wanted="default_prepend_bos and default_padding_side left out",
            got="one of them",
            remedy="they have no effect yet",
        )
    model.tokenizer = tokenizer
