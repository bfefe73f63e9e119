"""`unweave journal verify`: whether the journal is what was written, and what that proves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.journal.options import Json, Path_, opened, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from unweave.journal import Verification


def verify(
    journal: Path_ = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEAD|FILE", help="A head (SEQ:HASH) from before, or a file with one, such as an export."
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(metavar="note|commit", help="Then write the head into git: a note, or an empty commit."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute the hash chain again, and compare it with anchored heads; exits with 1 if anything was changed.

    Heads in notes and commits of the git repository around the journal are compared without being named.
    """
    from unweave.journal import anchor_in_git, from_git, read_anchors
    from unweave.journal import verify as verified

    with opened(journal, write=anchor is not None) as log:
        anchors = [found for given in against or () for found in read_anchors(given)] + from_git(log)
        checked = verified(log, anchors)
        made = anchor_in_git(log, anchor) if anchor and checked.ok else None
        path = log.path
    if as_json:
        print_json({"journal": str(path), **checked.to_dict(), "anchored": made and made.to_dict()})
    else:
        from unweave.cli.claims_table import console

        _print(console(), str(path), checked)
        if made:
            typer.echo(f"\nanchored {made.head.seq} entries in a {made.where}")
            if "note" in made.where:
                typer.echo("Others see it once it is pushed: git push origin refs/notes/unweave-journal")
        elif anchor:
            typer.echo("\nnot anchored: a changed journal's head proves nothing")
    if not checked.ok:
        raise typer.Exit(1)


def _print(terminal: Console, path: str, checked: Verification) -> None:
    terminal.print(f"journal  {path}", soft_wrap=True, markup=False)
    terminal.print(f"head     {checked.head}", soft_wrap=True, markup=False)
    purged = f", {checked.purged} purged" if checked.purged else ""
    if checked.ok:
        terminal.print(
            f"[green]unchanged[/]: {checked.head.seq} entries{purged}, {len(checked.anchors)} anchors"
        )
    else:
        terminal.print(
            f"[red]changed[/]: {len(checked.findings)} findings in {checked.head.seq} entries{purged}"
        )
    for heading, lines in (
        ("Found", [finding.text for finding in checked.findings]),
        ("Predictions that predict nothing", [finding.text for finding in checked.late]),
        ("Proved", [*checked.proved]),
        ("Not proved", [*checked.not_proved]),
        ("Besides", [*checked.notes]),
    ):
        if lines:
            terminal.print(f"\n[bold]{heading}[/]")
            for line in lines:
                terminal.print(_item(line))


def _item(text: str) -> object:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text), (0, 0, 0, 2))
