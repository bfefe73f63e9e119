"""Rows on their way to a file, and the file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from unweave.analysis.store.index import FORMAT, FORMAT_VERSION, Header, Shard, shard_file
from unweave.core.errors import InputError
from unweave.core.files import file_atomic

# Columns beside the sites: what each row is.
TOKENS, SAMPLES, POSITIONS, ATTENDED = "tokens", "samples", "positions", "attended"


@dataclass
class Buffer:
    """Rows that wait for their shard to be full.

    Attributes:
        rows: how many there are.
        first, last: the numbers of the first and last sample.
        data: the fingerprint up to and including the last.
    """

    columns: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    rows: int = 0
    first: int = -1
    last: int = -1
    data: str = ""

    def add(self, columns: dict[str, Tensor], sample: int, data: str) -> None:
        """Take the rows of one sample."""
        self.first = sample if self.first < 0 else self.first
        self.last, self.data = sample, data
        self.rows += len(columns[TOKENS])
        for name, column in columns.items():
            self.columns.setdefault(name, []).append(column)


def write_shard(folder: Path, header: Header, part: int, number: int, buffer: Buffer) -> Shard:
    """Write what waits as one file, whole or not at all.

    Raises:
        InputError: if it can't be written: a full disk, say.
    """
    columns = {name: torch.cat(parts).contiguous() for name, parts in buffer.columns.items()}
    path = folder / shard_file(part, number)
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "weights": header.weights}
    try:
        with file_atomic(path) as unfinished:
            save_file(columns, unfinished, metadata={"unweave": json.dumps(head)})
            with unfinished.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = unfinished.stat().st_size
    except (OSError, SafetensorError) as error:
        needed = sum(column.nbytes for column in columns.values()) / 2**20
        raise InputError(
            wanted=f"to write {needed:.1f} MiB to {path}",
            got=str(error),
            remedy="make room, and write the same store again: what is there is kept, and the rest follows",
        ) from error
    return Shard(path.name, buffer.rows, buffer.first, buffer.last, size, digest, buffer.data)
