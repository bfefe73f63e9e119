"""What a store says of itself: which activations, of which model, over which data, in which files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.files import write_json_atomic

FORMAT, FORMAT_VERSION = "unweave-activations", 1
INDEX = "index.json"


@dataclass(frozen=True)
class Header:
    """What all of a store's shards have in common.

    Args:
        sites: the shape of one token's activation at each site.
        dtype: of the numbers on disk.
        weights: the fingerprint of the model's weights.
        padding: "skip", or "keep": then a column says which rows are tokens.
        exclude: tokens whose rows were left out.
        shard_tokens: a shard is closed at the first end of a sample with as many rows.
        parts: how many writers share the data; sample number s belongs to part s % parts.
    """

    sites: dict[str, list[int]]
    dtype: str
    weights: str
    padding: str
    exclude: list[int]
    shard_tokens: int
    parts: int


@dataclass(frozen=True)
class Shard:
    """One file.

    Args:
        rows: how many tokens it holds.
        first, last: the numbers of its first and last sample.
        bytes, sha256: of the file.
        data: the fingerprint of all samples of its part up to and including the last.
    """

    file: str
    rows: int
    first: int
    last: int
    bytes: int
    sha256: str
    data: str


@dataclass(frozen=True)
class Part:
    """What one writer has written.

    Args:
        data: the fingerprint of the whole data, and `samples` its number of samples, once it is done.
        versions: of unweave and torch that wrote here.
    """

    header: Header
    number: int
    shards: tuple[Shard, ...] = ()
    samples: int | None = None
    data: str | None = None
    versions: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether all that the data holds for it is written."""
        return self.data is not None


@dataclass(frozen=True)
class Index:
    """A whole store: every part's shards, in the order of their first samples."""

    header: Header
    shards: tuple[Shard, ...]
    samples: int
    data: str
    versions: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many tokens there are."""
        return sum(shard.rows for shard in self.shards)


def part_file(number: int) -> str:
    """The name of a part's own index."""
    return f"part-{number:03}.json"


def shard_file(part: int, number: int) -> str:
    """The name of a shard."""
    return f"part-{part:03}-shard-{number:05}.safetensors"


def save(folder: Path, value: Part | Index) -> None:
    """Write the index of a part, or of the store, in one step."""
    name = part_file(value.number) if isinstance(value, Part) else INDEX
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    write_json_atomic(folder / name, {**head, **asdict(value)})


def load_part(folder: Path, number: int) -> Part | None:
    """What a part has written so far; None if it hasn't begun."""
    path = folder / part_file(number)
    return _loaded(path, Part) if path.exists() else None


def load_index(folder: Path) -> Index | None:
    """The store's index; None if there is none yet."""
    path = folder / INDEX
    return _loaded(path, Index) if path.exists() else None


def require_same(held: Header, asked: Header, folder: Path) -> None:
    """Raise InputError unless a store that is there is the one that is being written."""
    for field in fields(Header):
        have, want = getattr(held, field.name), getattr(asked, field.name)
        if have != want:
            raise InputError(
                wanted=f"a store with {field.name} {_short(want)} in {folder}",
                got=f"one with {_short(have)}",
                remedy="name another folder, or write with what that one was begun with",
            )


def _loaded(path: Path, kind: Any) -> Any:
    remedy = "restore the file, or write the store anew in another folder"
    try:
        held: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        wanted = (FORMAT, FORMAT_VERSION)
        if (held.get("format"), held.get("format_version")) != wanted:
            raise InputError(
                wanted=f"{FORMAT} of version {FORMAT_VERSION} in {path}",
                got=f"{held.get('format')} of version {held.get('format_version')}",
                remedy="open it with the version of unweave that wrote it",
            )
        values = {field.name: held[field.name] for field in fields(kind)}
        values["header"] = Header(**values["header"])
        values["shards"] = tuple(Shard(**shard) for shard in values["shards"])
        values["versions"] = tuple(values["versions"])
        return kind(**values)
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputError(wanted=f"a whole index in {path}", got=repr(error), remedy=remedy) from error


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
