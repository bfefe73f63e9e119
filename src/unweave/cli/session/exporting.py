"""`unweave session export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.journal.options import Path_, opened
from unweave.cli.session.looking import Which

FORMS = ("notebook", "html", "markdown", "json")


def export(
    session: Which,
    to: Annotated[str, typer.Option(metavar="FORM", help=f"One of {', '.join(FORMS)}.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where it is written; replaced if it is there.")],
    journal: Path_ = None,
    outputs: Annotated[bool, typer.Option(help="Of a notebook: with the outputs.")] = True,
) -> None:
    """Write a session as a notebook that runs, an offline page, a write-up to go on from, or JSON.

    Private cells are left out. `unweave session review ID` shows beforehand what would be published.
    """
    from unweave.core.errors import InputError, nearest
    from unweave.core.files import write_text_atomic
    from unweave.journal.sessions import session as find
    from unweave.recorder.exports.notebook import notebook
    from unweave.recorder.exports.page import page
    from unweave.recorder.exports.plain import plain
    from unweave.recorder.exports.write_up import write_up

    if to not in FORMS:
        raise InputError(
            wanted=f"--to {', '.join(FORMS)}", got=to, remedy=f"near it: {nearest(to, FORMS, 1)}"
        )
    with opened(journal) as log:
        found, head = find(log, session), str(log.head.hash)
        match to:
            case "notebook":
                made = notebook(found, outputs=outputs, head=head)
                text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
                stops = [one for one in made["metadata"]["unweave"]["obstacles"] if one["stops"]]
            case "html":
                text, stops = page(found, head=head), []
            case "markdown":
                text, stops = write_up(found, head=head), []
            case _:
                text, stops = json.dumps(plain(found, head=head), indent=1, ensure_ascii=False) + "\n", []
    write_text_atomic(out, text)
    typer.echo(f"wrote {out}")
    for one in stops:
        typer.echo(f"  cell {one['step']} will stop it: {one['text']}")
