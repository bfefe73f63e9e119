"""Atomic writes: a file or folder is there whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that a reader sees the old content or the new, never a part.

    Raises:
        InputError: if `path` is a folder, or something above it is a file.
    """
    with file_atomic(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


@contextmanager
def file_atomic(path: Path) -> Generator[Path]:
    """Yield the name of a new, empty file beside `path`; on a clean exit it takes the place of `path`.

    Raises:
        InputError: if `path` is a folder, or something above it is a file.
    """
    path = path.resolve()
    require_folder(path.parent, path.name)
    if path.is_dir():
        raise InputError(
            wanted="the name of a file to write",
            got=f"{path}, which is a folder",
            remedy="name a file in it, or move that folder away",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _flush_file(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json_atomic(path: Path, value: Any) -> None:
    """Write readable JSON; NaN and infinities are refused, since other readers choke on them."""
    write_text_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


@contextmanager
def folder_atomic(path: Path) -> Generator[Path]:
    """Yield an empty folder beside `path`; on a clean exit it takes the place of `path`.

    Replacing an existing folder is two renames: a crash between them leaves the old content
    under `.NAME.*.old` and no half-written folder under the real name.

    Raises:
        InputError: if `path`, or something above it, is a file.
    """
    path = require_folder(path.resolve(), "what is written")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        part.chmod(0o777 & ~_umask())
        yield part
        _flush(part)
        _put_in_place(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def require_folder(path: Path, what: str) -> Path:
    """`path`, if it is a folder or could become one.

    Raises:
        InputError: if `path`, or something above it, is a file.
    """
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise InputError(
                wanted=f"a folder for {what}",
                got=f"{path}, where {place.name} is a file",
                remedy="name another folder, or move that file away",
            )
    return path


def _put_in_place(part: Path, path: Path) -> None:
    old = part.with_suffix(".old")
    try:
        if path.exists():
            path.rename(old)
        part.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    if old.exists():
        shutil.rmtree(old)


def _flush(folder: Path) -> None:
    # Or a power cut could leave the new name on empty files.
    for path in folder.rglob("*"):
        if path.is_file():
            _flush_file(path)


def _flush_file(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
