"""A tokenizer as a folder inside a saved model's."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.core.registry import reach
from unweave.model.text.methods import TextMethods
from unweave.model.text.tokenizer import PlainTokenizer, as_tokenizer


def write_tokenizer(model: TextMethods, folder: Path) -> dict[str, Any] | None:
    """Write the model's tokenizer into a new `folder`, and say how it is to be read; None if there is none.

    Raises:
        InputError: if it can't be saved.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        return None
    folder.mkdir()
    if isinstance(as_tokenizer(tokenizer), PlainTokenizer):
        kind = "tokenizers"
        tokenizer.save(str(folder / "tokenizer.json"))
    elif callable(getattr(tokenizer, "save_pretrained", None)):
        kind = "transformers"
        tokenizer.save_pretrained(str(folder))
    else:
        raise InputError(
            wanted="a tokenizer with save_pretrained, to save it with the model",
            got=type(tokenizer).__name__,
            remedy="set model.tokenizer = None, save, and call set_tokenizer on what unweave.load opens",
        )
    return {
        "kind": kind,
        "default_padding_side": model.default_padding_side,
        "files": files_in(folder),
    }


def read_tokenizer(model: TextMethods, folder: Path, about: Mapping[str, Any]) -> None:
    """Give the model the tokenizer that `write_tokenizer` wrote; logged where its package isn't installed.

    Raises:
        InputError: if its files are gone or broken.
    """
    missing = sorted(set(about["files"]) - set(files_in(folder)))
    if missing:
        raise InputError(
            wanted=f"the tokenizer's files in {folder}",
            got=f"no {', '.join(missing)}",
            remedy="copy the model's folder again, whole",
        )
    if find_spec(about["kind"]) is None:
        log.warning("%s isn't installed: the model has no tokenizer", about["kind"])
        return
    tokenizer = (
        _plain(folder / "tokenizer.json")
        if about["kind"] == "tokenizers"
        else reach("load_tokenizer")(folder.resolve())
    )
    model.set_tokenizer(tokenizer, about["default_padding_side"])


def files_in(folder: Path) -> list[str]:
    """The files below `folder`, by their paths from there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _plain(path: Path) -> Any:
    try:
        return import_module("tokenizers").Tokenizer.from_file(str(path))
    # The package raises Exception itself.
    except Exception as error:
        raise InputError(
            wanted=f"a tokenizer that tokenizers can read in {path}",
            got=f"{type(error).__name__}: {error}"[:300],
            remedy="copy the model's folder again",
        ) from error
