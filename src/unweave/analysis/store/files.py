"""A store's shards, mapped into memory when they are first touched."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unweave.analysis.store.index import Shard
from unweave.core.errors import InputError

# How many files are held open; others are opened again when they are needed.
HELD = 64


class Files:
    """The columns of each shard.

    Args:
        verify: compare a shard with its hash when it is first touched.

    Attributes:
        starts, ends: the rows at which each shard begins and ends.

    Raises:
        InputError: for a shard that is missing, or not as long as the index says.
    """

    def __init__(self, folder: Path, shards: tuple[Shard, ...], verify: bool) -> None:
        self.folder, self.shards = folder, shards
        self.unverified = set(range(len(shards))) if verify else set[int]()
        self.ends = torch.tensor([shard.rows for shard in shards], dtype=torch.long).cumsum(0)
        self.starts = torch.cat([torch.zeros(1, dtype=torch.long), self.ends[:-1]])
        self._held: OrderedDict[int, Any] = OrderedDict()
        for shard in shards:
            path = folder / shard.file
            size = path.stat().st_size if path.exists() else None
            if size != shard.bytes:
                raise _torn(path, "none" if size is None else f"{size} bytes of {shard.bytes}")

    def tensor(self, shard: int, name: str) -> Tensor:
        """A column of one shard; its pages are read as they are touched."""
        if shard in self.unverified:
            self.verify(shard)
        if shard not in self._held:
            path = self.folder / self.shards[shard].file
            try:
                self._held[shard] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise _torn(path, str(error)) from error
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(shard)
        return self._held[shard].get_tensor(name)

    def verify(self, shard: int) -> None:
        """Raise InputError unless the file is, byte for byte, the one that was written."""
        path = self.folder / self.shards[shard].file
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.shards[shard].sha256:
            raise _torn(path, "other bytes: its hash differs")
        self.unverified.discard(shard)


def _torn(path: Path, got: str) -> InputError:
    return InputError(
        wanted=f"a whole shard {path}",
        got=got,
        remedy="restore it; or delete it, and call store.write as before: it writes what is missing",
    )
