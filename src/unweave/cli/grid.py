"""`unweave grid`: many runs, over configs and seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.run import Interrupted


def grid(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="GRID.json", help="A base config, axes and seeds: see --example."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The grid's folder.")] = None,
    engine: Annotated[
        str, typer.Option(metavar="local|ray", help="Processes of this machine, or a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="A", help="Of the Ray cluster: HOST:PORT, or auto.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Runs at once (default: as many as cores, over --threads)."),
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of each run.")] = 1,
    retries: Annotated[
        int, typer.Option(metavar="N", help="How often a run is begun again whose worker died.")
    ] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and their size, and stop.")
    ] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a small GRID.json, and stop.")] = False,
) -> None:
    """Train every combination of some fields' values, once a seed. The same command goes on with what is left.

    The exit code is 1 if a run could not be brought to its end.
    """
    from unweave.core.errors import InputError
    from unweave.training.grids import EXAMPLE, Grid, Size, run_grid

    if example:
        typer.echo(json.dumps(EXAMPLE, indent=1))
        return
    if file is None or (out is None and not dry_run):
        raise InputError(
            wanted="a GRID.json and --out DIR",
            got="no grid" if file is None else "no --out",
            remedy="unweave grid --example prints a grid",
        )
    if engine not in ("local", "ray"):
        raise InputError(wanted="--engine local or ray", got=repr(engine), remedy="name one of them")
    if address is not None and engine == "local":
        raise InputError(
            wanted="an address with --engine ray alone", got="--engine local", remedy="add --engine ray"
        )
    asked = Grid.read(file)
    typer.echo(f"{Size.of(asked.members)}")
    if out is None or dry_run:
        for member in asked.members:
            typer.echo(f"{member.name}  {member.told}")
        return
    from unweave.cli.claims_table import console
    from unweave.cli.grid_board import print_results, watching

    terminal = console()
    try:
        with watching(terminal) as watch:
            results = run_grid(
                asked,
                out,
                engine=engine,
                workers=workers,
                threads=threads,
                retries=retries,
                address=address,
                watch=watch,
            )
    except KeyboardInterrupt as stop:
        raise Interrupted(str(stop) or "interrupted") from None
    print_results(terminal, results)
    if results.failed:
        raise typer.Exit(1)
