"""A model's files: in a folder, or on the hub."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError

CONFIG = "config.json"


class Files(ABC):
    """Files by name."""

    local: bool

    @abstractmethod
    def find(self, name: str) -> Path | None:
        """Where the file is on this machine; None if the model has none of that name."""

    @abstractmethod
    def gather(self, names: list[str]) -> None:
        """Fetch several at once, where that is faster."""

    @abstractmethod
    def __str__(self) -> str: ...

    def config(self) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            InputError: if there is none, or it is no table.
        """
        path = self.find(CONFIG)
        if path is None:
            raise InputError(
                wanted=f"a {CONFIG} in {self}",
                got="none",
                remedy="name the folder or the hub id of a transformers model",
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(
                wanted=f"readable JSON in {path}", got=str(error), remedy="download or copy the file again"
            ) from error
        if not isinstance(values, dict):
            raise InputError(
                wanted=f"a table of config values in {path}",
                got=repr(values)[:60],
                remedy="download or copy the file again",
            )
        return values


class Folder(Files):
    """A folder of this machine."""

    local = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, name: str) -> Path | None:
        """The file in this folder."""
        path = self.path / name
        return path if path.is_file() else None

    def gather(self, names: list[str]) -> None:
        """They are here."""

    def __str__(self) -> str:
        return str(self.path)
