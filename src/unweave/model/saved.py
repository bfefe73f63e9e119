"""A model as a folder: `config.json` to read, `model.safetensors` to load, `tokenizer/` if it has one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.files import folder_atomic, require_folder, write_json_atomic
from unweave.model.config import DTYPES, HookedTransformerConfig
from unweave.model.text.saved import files_in, read_tokenizer, write_tokenizer
from unweave.model.transformer import HookedTransformer

FORMAT = "unweave-model"
FORMAT_VERSION = 1
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer"
NOT_OURS = "name a folder that model.save(DIR) wrote"


def write_files(model: HookedTransformer, folder: Path, tokenizer: Mapping[str, Any] | None = None) -> None:
    """Write config and weights into an existing folder.

    Args:
        tokenizer: what the config shall say of the tokenizer's files beside it.

    Raises:
        InputError: if the weights are not all of one dtype that a config can name, or the
            activation is a function, which no config file can hold.
    """
    if callable(model.cfg.act_fn):
        raise InputError(
            wanted="an activation that has a name, to save the model",
            got=f"act_fn={getattr(model.cfg.act_fn, '__name__', type(model.cfg.act_fn).__name__)}, a function",
            remedy="save model.state_dict() yourself, and give the function again when you load it",
        )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # The model may have been converted since it was built, by model.double() for one.
    config = {**dataclasses.asdict(model.cfg), "dtype": _common_dtype(tensors.values())}
    head: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": config}
    if tokenizer is not None:
        head["tokenizer"] = dict(tokenizer)
    write_json_atomic(folder / CONFIG, head)
    save_file(tensors, folder / WEIGHTS)


def save(model: HookedTransformer, folder: str | Path) -> None:
    """Write the model and its tokenizer; an existing model folder of that name is replaced in one step.

    Raises:
        InputError: if the path, or a part of it, is a file, or a folder that holds anything else;
            for a tokenizer that can't be saved.
    """
    with folder_atomic(require_own_folder(Path(folder))) as part:
        write_files(model, part, write_tokenizer(model, part / TOKENIZER))


def require_own_folder(folder: Path) -> Path:
    """`folder`, if it is new, empty, or holds a model of ours and nothing more.

    Raises:
        InputError: if it is not.
    """
    require_folder(folder, "the model")
    held = {path.name for path in folder.iterdir()} if folder.exists() else set[str]()
    if not held or (held <= {CONFIG, WEIGHTS, TOKENIZER} and _is_ours(folder)):
        return folder
    raise InputError(
        wanted="a new folder, or one that holds nothing but a saved model",
        got=f"{folder}, which holds other files",
        remedy="name a folder of its own for the model",
    )


def load(folder: str | Path, device: str | None = None) -> HookedTransformer:
    """Open a model folder that `save` wrote, with its tokenizer if it had one.

    The tokenizer's package must be installed (`pip install "unweave[hf]"`); where it isn't, that is
    logged, and the model takes tokens alone.

    Args:
        device: where to put it; None means the CPU.

    Raises:
        InputError: if a file is missing, cut short, of a newer format, or does not fit its config.
    """
    folder = Path(folder)
    cfg = read_config(folder, device)
    weights = folder / WEIGHTS
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise InputError(
            wanted=f"whole weights in {weights}",
            got=str(error),
            remedy="take an earlier checkpoint, or copy the folder again",
        ) from error
    # Opening a model must not advance the global random state.
    with torch.random.fork_rng(devices=[]):
        model = HookedTransformer(cfg, tokenizer=False)
    _require_fit(weights, wanted=model.state_dict(), got=tensors)
    model.load_state_dict(tensors)
    about = _read_head(folder / CONFIG).get("tokenizer")
    if about is not None:
        read_tokenizer(model, folder / TOKENIZER, about)
    return model


def is_saved(folder: str | Path) -> bool:
    """Whether the folder holds a model that `save` wrote."""
    try:
        return json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))["format"] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        return False


def read_config(folder: Path, device: str | None = None) -> HookedTransformerConfig:
    """The config of a model folder; its weights are not read.

    Raises:
        InputError: if there is none, or it cannot be honoured.
    """
    path = folder / CONFIG
    values = _read_head(path)["config"]
    if not isinstance(values, dict):
        raise InputError(wanted=f"a table of config fields in {path}", got=repr(values), remedy=NOT_OURS)
    try:
        return HookedTransformerConfig.from_dict({**values, "device": device})
    except InputError as error:
        raise InputError(
            wanted=f"{error.wanted} in {path}",
            got=error.got,
            remedy="open it with the version of unweave that wrote it, or a newer one",
        ) from error


def _read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(wanted="a model folder", got=f"no file {path}", remedy=NOT_OURS) from None
    except NotADirectoryError:
        got = f"{path.parent}, where a part is a file"
        raise InputError(wanted="a model folder", got=got, remedy=NOT_OURS) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(wanted=f"readable JSON in {path}", got=str(error), remedy=NOT_OURS) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT or "config" not in head:
        raise InputError(wanted=f"a config of format {FORMAT} in {path}", got="another file", remedy=NOT_OURS)
    if head.get("format_version") != FORMAT_VERSION:
        raise InputError(
            wanted=f"format version {FORMAT_VERSION} in {path}",
            got=str(head.get("format_version")),
            remedy="open it with the version of unweave that wrote it, or a newer one",
        )
    return head


def _is_ours(folder: Path) -> bool:
    """Whether all that is in this folder is a model of ours."""
    try:
        head = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        known = set((head.get("tokenizer") or {"files": []})["files"])
        return head["format"] == FORMAT and set(files_in(folder / TOKENIZER)) <= known
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _common_dtype(tensors: Iterable[Tensor]) -> str:
    found = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors}
    if len(found) != 1 or not found <= DTYPES.keys():
        raise InputError(
            wanted=f"weights of one dtype, one of {', '.join(DTYPES)}",
            got=", ".join(sorted(found)),
            remedy="convert the model first, as by model.float()",
        )
    return found.pop()


def _require_fit(path: Path, wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    for name in (*wanted, *got):
        here, there = (_described(tensors.get(name)) for tensors in (wanted, got))
        if here != there:
            raise InputError(
                wanted=f"{here} for {name} in {path}",
                got=there,
                remedy="the weights belong to another config: copy both files from one folder",
            )


def _described(tensor: Tensor | None) -> str:
    return "no such tensor" if tensor is None else f"shape {tuple(tensor.shape)} and {tensor.dtype}"
