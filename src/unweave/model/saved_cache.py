"""Activations as a safetensors file that is read tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.files import file_atomic
from unweave.core.recorder import require_device

FORMAT = "unweave-cache"
FORMAT_VERSION = 1


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the tensors, their order, which of them are one, and `facts`, any JSON values."""
    kept: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and place in seen:
            same[name] = seen[place]
        else:
            seen[place] = name
            # A copy: safetensors refuses tensors that share memory, as a slice and its whole do.
            kept[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "names": list(tensors), "same": same}
    with file_atomic(path) as part:
        save_file(kept, part, metadata={"unweave": json.dumps({**head, **facts})})


class SavedTensors(MutableMapping[str, Tensor]):
    """The tensors of a file, each read when it is asked for; what is set is kept beside them.

    The file is mapped into memory: an edit in place of a tensor on the CPU lasts as long as this
    does, and never reaches the file.

    Attributes:
        facts: what was written beside the tensors.
    """

    def __init__(self, path: Path, device: str) -> None:
        where = require_device(device)
        try:
            self._file = safe_open(path, framework="pt", device=str(where))
            text = (self._file.metadata() or {}).get("unweave", "{}")
        except (OSError, SafetensorError) as error:
            raise InputError(
                wanted=f"a whole file of activations in {path}",
                got=str(error),
                remedy="name a file that cache.save(PATH) wrote, and save it again if it was cut short",
            ) from error
        self.facts: dict[str, Any] = json.loads(text)
        if self.facts.get("format") != FORMAT or self.facts.get("format_version") != FORMAT_VERSION:
            raise InputError(
                wanted=f"{FORMAT} of version {FORMAT_VERSION} in {path}",
                got=f"{self.facts.get('format')} of version {self.facts.get('format_version')}",
                remedy="name a file that cache.save(PATH) wrote, and open it with that version of unweave",
            )
        self._names: dict[str, None] = dict.fromkeys(self.facts["names"])
        self._set: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        if name in self._set:
            return self._set[name]
        return self._file.get_tensor(self.facts["same"].get(name, name))

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self._names[name] = None
        self._set[name] = tensor

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._set.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
