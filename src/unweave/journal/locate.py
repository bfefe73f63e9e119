"""Where the journal of this work lies."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "journal.db"
VARIABLE = "UNWEAVE_JOURNAL"
PROJECT_MARKS = (NAME, "pyproject.toml", ".git")


def locate(path: str | Path | None = None) -> Path:
    """The journal's file, whether it is there yet or not.

    It is `path`; else what the variable UNWEAVE_JOURNAL names; else `journal.db` in the nearest project
    folder: this folder or the first above it with a journal.db, a pyproject.toml or a .git; else in this
    folder. Where a folder is named, its journal.db is meant.
    """
    named = path or os.environ.get(VARIABLE)
    if named:
        chosen = Path(named).expanduser().absolute()
        return chosen / NAME if chosen.is_dir() else chosen
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / mark).exists() for mark in PROJECT_MARKS):
            return folder / NAME
    return here / NAME
