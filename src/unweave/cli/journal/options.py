"""Options that all commands of the journal have, and how they print."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from unweave.journal import Journal

Path_ = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="PATH",
        help="The journal's file (default: UNWEAVE_JOURNAL, else journal.db of the nearest project folder).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


@contextmanager
def opened(path: Path | None, *, write: bool = False, create: bool = False) -> Generator[Journal]:
    """The journal that is meant, closed at the end."""
    from unweave.journal import Journal

    with Journal.open(path, read_only=not write, create=create) as journal:
        yield journal


def print_json(value: Any) -> None:
    """Print readable JSON."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))
