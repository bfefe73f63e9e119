"""The tokenizer that belongs to a model's files, or has files of its own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.model.transformer import HookedTransformer
from unweave.pretrained.files import Files
from unweave.pretrained.hub import Hub, files_at

# One of these is in every folder that has a tokenizer.
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")


def load_tokenizer(path_or_id: str | Path, revision: str | None = None, **for_the_hub: Any) -> Any:
    """A tokenizer of `transformers`, from a folder or the hub.

    Args:
        path_or_id: a folder that holds its files, a hub id, or a short name such as "pythia-70m".
        revision: a branch, a tag or a commit of the hub.
        for_the_hub: `token`, `cache_dir`, `local_files_only`.

    Raises:
        InputError: if there is none, or it cannot be had or read.
    """
    files = files_at(path_or_id, revision, **for_the_hub)
    if not _is_installed():
        raise InputError(
            wanted="transformers, to load a tokenizer",
            got="it isn't installed",
            remedy='pip install "unweave[hf]"',
        )
    tokenizer = tokenizer_of(files)
    if tokenizer is None:
        raise InputError(
            wanted=f"a tokenizer in {files}",
            got=f"none of {', '.join(TOKENIZER_FILES)}",
            remedy="name a folder that tokenizer.save_pretrained(DIR) wrote, or the model's own hub id",
        )
    return tokenizer


def tokenizer_of(files: Files) -> Any | None:
    """The tokenizer of a folder or of the hub; None if there is none, or transformers isn't installed.

    Raises:
        InputError: if its files cannot be had or read.
    """
    held = {name: files.find(name) for name in TOKENIZER_FILES[:2]}
    if not any(held.values()) and all(files.find(name) is None for name in TOKENIZER_FILES[2:]):
        return None
    if not _is_installed():
        log.info("transformers isn't installed: the model has no tokenizer")
        return None
    transformers = import_module("transformers")
    try:
        if held["tokenizer_config.json"] is None and files.find("config.json") is None:
            # What `tokenizers` saves: nothing says of which class it is.
            return transformers.PreTrainedTokenizerFast(tokenizer_file=str(held["tokenizer.json"]))
        if isinstance(files, Hub):
            return transformers.AutoTokenizer.from_pretrained(files.repo, **files.asked())
        return transformers.AutoTokenizer.from_pretrained(str(files))
    # Which of them depends on the file: cut short, of another format, of a class that is not there.
    except Exception as error:
        raise InputError(
            wanted=f"a tokenizer that transformers can read in {files}",
            got=f"{type(error).__name__}: {error}"[:300],
            remedy="download or copy its files again, or pass tokenizer= yourself",
        ) from error


def attach_tokenizer(
    model: HookedTransformer, tokenizer: Any, prepend_bos: bool | None, padding_side: str | None
) -> None:
    """Give a model its tokenizer, and how it makes text into tokens; None leaves that to the tokenizer."""
    if prepend_bos is not None:
        model.cfg.default_prepend_bos = prepend_bos
    if tokenizer is not None:
        model.set_tokenizer(tokenizer, padding_side)
        model.cfg.tokenizer_name = getattr(tokenizer, "name_or_path", None) or None
    elif padding_side is not None:
        raise InputError(
            wanted="a model with a tokenizer, for default_padding_side",
            got="one without",
            remedy="pass tokenizer=, or leave default_padding_side out",
        )


def _is_installed() -> bool:
    try:
        import_module("transformers")
    except ImportError:
        return False
    return True
