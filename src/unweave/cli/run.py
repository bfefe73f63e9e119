"""`unweave run`: train an experiment's model, analyse it, test its claims and write the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


class Interrupted(RuntimeError):
    """The run was stopped by Ctrl-C."""


def run(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="Which experiment, for example no-position.")
    ],
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="quick: minutes; others depend on the experiment (an unknown one is answered with those that there are).",
        ),
    ] = "quick",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Decides weights and data.")] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How many trainings the claims are judged over, --seed and those after it.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where everything is written (default: runs/EXPERIMENT)."),
    ] = None,
) -> None:
    """Train a model, open it up, test the claims about it, and write a report."""
    from unweave.cli.claims_table import console, print_claims
    from unweave.experiments import load_experiment

    try:
        outcome = load_experiment(experiment).run(
            preset=preset,
            seed=seed,
            out=out or Path("runs") / experiment,
            progress=sys.stderr.isatty(),
            seeds=seeds,
        )
    except KeyboardInterrupt as stop:
        # Typer would turn it into a bare "interrupted"; where the model so far lies is worth telling.
        raise Interrupted(str(stop) or "interrupted") from None
    terminal = console()
    print_claims(terminal, outcome.claims)
    terminal.print(f"report: {outcome.report}", soft_wrap=True, markup=False)
