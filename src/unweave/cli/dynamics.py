"""`unweave dynamics`: what a measure says at each of a run's checkpoints, as a page with a slider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dynamics(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder that unweave train writes.")],
    measure: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="loss-by-position, head-kinds, weight-norms or attention-LAYER.HEAD."
        ),
    ] = "loss-by-position",
    out: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="The page (default: in RUN_DIR, by the measure).")
    ] = None,
) -> None:
    """Measure a run's checkpoints, and write a page: the measure over steps, the loss below."""
    from unweave.explore import over_checkpoints

    found = over_checkpoints(run, measure)
    page = found.report(out or run / f"{measure}.html")
    for text in found.result.warnings:
        typer.echo(f"warning: {text}")
    typer.echo(f"{len(found.steps)} checkpoints: {page}")
