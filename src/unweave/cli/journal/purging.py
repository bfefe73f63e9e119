"""`unweave journal purge`: take out what should never have been written."""

from __future__ import annotations

from typing import Annotated

import typer

from unweave.cli.journal.options import Path_, opened


def purge(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Entries, by id or number.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; this stays.")] = "",
    finish: Annotated[
        bool, typer.Option("--finish", help="Finish the cleaning of a purge that was held up.")
    ] = False,
    journal: Path_ = None,
) -> None:
    """Remove entries' bodies and blobs, from the file's free pages too; each leaves a tombstone with the reason.

    Copies elsewhere are not reached: exports, backups, snapshots, what was pushed.
    """
    from unweave.core.errors import InputError
    from unweave.journal import purge as purged
    from unweave.journal import scrub

    with opened(journal, write=True) as log:
        if finish and ids:
            raise InputError(
                wanted="--finish alone: it ends a purge that was cut short",
                got=f"--finish with {len(ids)} entries",
                remedy="leave one of them out",
            )
        if finish:
            scrub(log)
            typer.echo("cleaned")
            return
        done = purged(log, ids or (), reason)
    typer.echo(f"purged {len(done.tombstones)} entries and {len(done.blobs)} blobs")
    if done.backups:
        typer.echo(f"deleted too, since they held it: {', '.join(done.backups)}")
    if done.shared:
        numbers = ", ".join(map(str, done.shared))
        typer.echo(
            f"warning: entries {numbers} name the same blob, which stays until they are purged too", err=True
        )
    if done.warning:
        typer.echo(f"warning: {done.warning}", err=True)
        raise typer.Exit(1)
