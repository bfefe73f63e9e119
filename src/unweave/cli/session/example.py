"""`unweave session example`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def example(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the journal is put.")] = Path("example.db"),
) -> None:
    """Put the recorded example into a file: a session on the no-position model, as it really went."""
    from importlib.resources import files

    from unweave.core.errors import InputError
    from unweave.core.files import file_atomic

    if out.exists():
        raise InputError(
            wanted="a file that is not there yet",
            got=str(out),
            remedy="name another with --out, or move it away",
        )
    held = files("unweave.recorder") / "example" / "no-position.db"
    with file_atomic(out) as part:
        part.write_bytes(held.read_bytes())
    typer.echo(f"wrote {out}")
    for command in (
        "show last",
        "export last --to html --out example.html",
        "export last --to notebook --out example.ipynb",
    ):
        typer.echo(f"  unweave session {command} --journal {out}")
