"""Where a checkpoint's tensors are: safetensors shards, pickled files, or a module's own."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unweave.core.errors import InputError
from unweave.pretrained.files import Files

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
COPY_AGAIN = "download or copy the file again"


class Checkpoint(ABC):
    """Tensors by name. `shapes` and `places` are known before any of them is read."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        # The file that holds each, for errors.
        self.places: dict[str, str] = {}
        # Whether what `read` gives is someone else's memory, which a model must not share.
        self.shared = False

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """The tensor, in the dtype in which it was saved."""


class SafetensorsFiles(Checkpoint):
    """Shards of which only the headers are read until a tensor is asked for.

    On the CPU a tensor is a view of the file, mapped so that writing to it makes a copy of that
    page: it takes no memory of its own, and the file stays as it is.
    """

    def __init__(self, shards: Iterable[Path]) -> None:
        super().__init__()
        self._shards: dict[str, Any] = {}
        for path in shards:
            try:
                shard: Any = safe_open(path, framework="pt")
                for name in shard.keys():  # noqa: SIM118  (it isn't a dict)
                    if name in self.places:
                        raise InputError(
                            wanted=f"every tensor once; {self.places[name]} has {name}",
                            got=f"{path} with another",
                            remedy="take the shards of one model, and no others",
                        )
                    self.shapes[name] = tuple(shard.get_slice(name).get_shape())
                    self.places[name], self._shards[name] = str(path), shard
            except (OSError, SafetensorError) as error:
                raise InputError(
                    wanted=f"a whole safetensors file {path}", got=str(error), remedy=COPY_AGAIN
                ) from error

    def read(self, name: str) -> Tensor:
        """The tensor, as a view of its file."""
        try:
            return self._shards[name].get_tensor(name)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(
                wanted=f"a readable {name} in {self.places[name]}", got=str(error), remedy=COPY_AGAIN
            ) from error


class PickledFiles(Checkpoint):
    """Files that torch.save wrote, read with weights_only: nothing in them is run."""

    def __init__(self, shards: Iterable[Path]) -> None:
        super().__init__()
        self._tensors: dict[str, Tensor] = {}
        for path in shards:
            for name, tensor in _unpickled(path).items():
                if isinstance(tensor, Tensor):
                    self._tensors[name], self.places[name] = tensor, str(path)
                    self.shapes[name] = tuple(tensor.shape)

    def read(self, name: str) -> Tensor:
        """The tensor."""
        return self._tensors[name]


class InMemory(Checkpoint):
    """The tensors of a module that is loaded already."""

    def __init__(self, tensors: Mapping[str, Tensor], where: str) -> None:
        super().__init__()
        self._tensors, self.shared = tensors, True
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self.places = dict.fromkeys(tensors, where)

    def read(self, name: str) -> Tensor:
        """The module's own tensor."""
        return self._tensors[name].detach()


def open_checkpoint(files: Files, allow_pickle: bool) -> Checkpoint:
    """The weights of a folder or of the hub: safetensors, or pickled ones where that is allowed.

    Raises:
        InputError: if there are none, or a shard is missing or broken.
    """
    index = files.find(INDEX)
    if index is not None:
        return _sharded(SafetensorsFiles, files, index)
    whole = files.find(WHOLE)
    if whole is not None:
        return SafetensorsFiles([whole])
    if allow_pickle:
        index, whole = files.find(PICKLED_INDEX), files.find(PICKLED)
        if index is not None:
            return _sharded(PickledFiles, files, index)
        if whole is not None:
            return PickledFiles([whole])
    # On the hub the question would be a download.
    held = [name for name in (PICKLED, PICKLED_INDEX) if files.local and files.find(name) is not None]
    raise InputError(
        wanted=f"weights in {files}: {WHOLE} or {INDEX}",
        got=f"neither, but {' and '.join(held)}" if held else "neither",
        remedy="name the folder or the hub id of a transformers model"
        if allow_pickle
        else f"if it has pickled weights ({PICKLED}) and you trust them, pass allow_pickle=True; nothing in them "
        "is run, they are read with weights_only",
    )


def _sharded(kind: type[SafetensorsFiles] | type[PickledFiles], files: Files, index: Path) -> Checkpoint:
    try:
        table: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = dict.fromkeys(table.values())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            wanted=f"a table weight_map in {index}", got=f"{type(error).__name__}: {error}", remedy=COPY_AGAIN
        ) from error
    files.gather(list(names))
    paths: list[Path] = []
    for name in names:
        path = files.find(name)
        if path is None:
            raise InputError(
                wanted=f"the shard {name} that {index} names", got="no such file", remedy=COPY_AGAIN
            )
        paths.append(path)
    checkpoint = kind(paths)
    for tensor, name in table.items():
        if tensor not in checkpoint.places:
            raise InputError(
                wanted=f"{tensor} in {name}, where {index} says it is",
                got="no such tensor",
                remedy=COPY_AGAIN,
            )
    return checkpoint


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # Files from before torch 1.6 can't be mapped.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a broken file
        raise InputError(
            wanted=f"pickled weights in {path}, and nothing else",
            got=f"{type(error).__name__}: {error}",
            remedy="take the model's safetensors, or download the file again",
        ) from error
    if not isinstance(loaded, dict):
        raise InputError(
            wanted=f"a table of tensors in {path}",
            got=type(loaded).__name__,
            remedy="take the model's safetensors",
        )
    return loaded
