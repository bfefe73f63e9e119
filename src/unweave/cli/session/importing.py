"""`unweave session import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.journal.options import Path_, opened


def import_session(
    notebook: Annotated[Path, typer.Argument(metavar="FILE.ipynb", help="A Jupyter notebook.")],
    journal: Path_ = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Its title (default: the file's name).")] = "",
) -> None:
    """Bring an existing notebook into the journal, as a session without times."""
    from unweave.recorder.exports.ipynb import import_notebook

    with opened(journal, write=True, create=True) as log:
        found = import_notebook(log, notebook, title)
        typer.echo(
            f"imported {notebook.name} as session {found.id}, {found.step_count} cells, into {log.path}"
        )
