"""A model as a folder: `config.json` to read, `model.safetensors` to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from unweave.core.errors import InputError
from unweave.core.files import folder_atomic, require_folder, write_json_atomic
from unweave.model.config import HookedTransformerConfig

if TYPE_CHECKING:
    from unweave.model.transformer import HookedTransformer

FORMAT = "unweave-model"
FORMAT_VERSION = 1


def write_files(model: HookedTransformer, folder: Path) -> None:
    """Write the two files into an existing folder."""
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": model.cfg.to_dict()}
    write_json_atomic(folder / "config.json", head)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")


def save(model: HookedTransformer, folder: str | Path) -> None:
    """Write the model; an existing model folder of that name is replaced in one step.

    Raises:
        InputError: if the path, or a part of it, is a file, or a folder that holds no model.
    """
    folder = require_folder(Path(folder), "the model")
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").exists():
        raise InputError(
            wanted="a new folder, or one that holds a model",
            got=f"{folder}, which holds other files",
            remedy="name a folder of its own for the model",
        )
    with folder_atomic(folder) as part:
        write_files(model, part)


def load(folder: str | Path, device: str | None = None) -> HookedTransformer:
    """Open a model folder that `save` wrote.

    Args:
        device: where to put it; None means the CPU.

    Raises:
        InputError: if a file is missing, cut short, of a newer format, or does not fit its config.
    """
    from unweave.model.transformer import HookedTransformer

    folder = Path(folder)
    cfg = HookedTransformerConfig(**{**_read_config(folder / "config.json"), "device": device or "cpu"})
    weights = folder / "model.safetensors"
    try:
        tensors = load_file(weights, device=str(cfg.device))
    except (FileNotFoundError, SafetensorError) as error:
        raise InputError(
            wanted=f"whole weights in {weights}",
            got=f"{error}",
            remedy="take an earlier checkpoint, or copy the folder again",
        ) from error
    model = HookedTransformer(cfg)
    _require_fit(weights, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()},
                 {name: tuple(tensor.shape) for name, tensor in tensors.items()})  # fmt: skip
    model.load_state_dict(tensors)
    return model


def _read_config(path: Path) -> dict[str, Any]:
    remedy = "name a folder that model.save(DIR) wrote"
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(wanted="a model folder", got=f"no file {path}", remedy=remedy) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(wanted=f"readable JSON in {path}", got=str(error), remedy=remedy) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT or "config" not in head:
        raise InputError(wanted=f"a config of format {FORMAT} in {path}", got="another file", remedy=remedy)
    if head.get("format_version") != FORMAT_VERSION:
        raise InputError(
            wanted=f"format version {FORMAT_VERSION} in {path}",
            got=str(head.get("format_version")),
            remedy="open it with the version of unweave that wrote it, or a newer one",
        )
    known = HookedTransformerConfig.__dataclass_fields__
    unknown = sorted(set(head["config"]) - set(known))
    if unknown:
        raise InputError(
            wanted=f"known config fields in {path}",
            got=", ".join(unknown),
            remedy="open it with the version of unweave that wrote it, or a newer one",
        )
    return head["config"]


def _require_fit(path: Path, wanted: dict[str, tuple[int, ...]], got: dict[str, tuple[int, ...]]) -> None:
    for name in (*wanted, *got):
        if wanted.get(name) != got.get(name):
            raise InputError(
                wanted=f"{name} of shape {wanted.get(name, 'nothing')} in {path}",
                got=str(got.get(name, "no such tensor")),
                remedy="the weights belong to another config: copy both files from one folder",
            )
