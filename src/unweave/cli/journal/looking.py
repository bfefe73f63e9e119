"""`unweave journal list` and `search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.journal.options import Json, Path_, opened, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from unweave.journal import Entry

ROOM = 100  # columns


def list_entries(
    journal: Path_ = None,
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only this kind, as prediction; may be repeated.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many of the latest.")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest entries: by default those that somebody wrote, not the cells and outputs of sessions."""
    from collections import deque

    from unweave.journal.kinds import RESEARCH

    with opened(journal) as log:
        entries = [*deque(log.entries(kind or RESEARCH), maxlen=last)]
    if as_json:
        print_json([_facts(entry) for entry in entries])
        return
    from unweave.cli.journal.tables import line_of

    _print([(entry, line_of(entry, 150)) for entry in entries], "nothing yet")


def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help='All of them; "in quotes" together.')],
    journal: Path_ = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Search code, outputs, notes and everything else that was written."""
    with opened(journal) as log:
        # The shell took quotes away: words that came as one stand together.
        hits = log.search(" ".join(f'"{word}"' if " " in word else word for word in words), limit=limit)
    if as_json:
        print_json([{**_facts(hit.entry), "around": hit.around} for hit in hits])
        return
    from rich.text import Text

    _print([(hit.entry, Text(hit.around)) for hit in hits], "nothing found")


def _print(found: list[tuple[Entry, Text]], otherwise: str) -> None:
    from rich.text import Text

    from unweave.cli.claims_table import console
    from unweave.cli.journal.tables import local, table

    terminal = console()
    # Numbers name entries as well as ids do; where there is room, both are shown.
    ids = [("Id", "whole")] if terminal.width >= ROOM else []
    rows = table(("", "right"), *ids, ("When", "whole"), ("Kind", "whole"), ("", "wide"))
    for entry, text in found:
        id = [Text(entry.id, style="dim")] if ids else []  # noqa: A001
        rows.add_row(str(entry.seq), *id, local(entry.time), entry.kind, text)
    terminal.print(rows if found else otherwise)


def _facts(entry: Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in ("seq", "id", "kind", "session", "about", "time", "body")}
