"""`unweave run`: train an experiment's model, analyse it, test its claims and write the report."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unweave.experiments import ExperimentRun


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
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write the claims into this journal before the run, and the verdicts after it "
            "(default: UNWEAVE_JOURNAL, or the project's journal.db, where there is one).",
        ),
    ] = None,
) -> None:
    """Train a model, open it up, test the claims about it, and write a report."""
    from unweave.cli.claims_table import console, print_claims

    asked = Asked(experiment, preset, seed, out or Path("runs") / experiment, seeds, sys.stderr.isatty())
    try:
        outcome = _run(asked, _journal(journal))
    except KeyboardInterrupt as stop:
        # Typer would turn it into a bare "interrupted"; where the model so far lies is worth telling.
        raise Interrupted(str(stop) or "interrupted") from None
    terminal = console()
    print_claims(terminal, outcome.claims)
    terminal.print(f"report: {outcome.report}", soft_wrap=True, markup=False)


@dataclass(frozen=True)
class Asked:
    """What is to be run."""

    experiment: str
    preset: str
    seed: int
    out: Path
    seeds: int | None
    progress: bool


def _journal(given: Path | None) -> Path | None:
    """The journal to write to: the one that is named, made if need be; else the one that is there."""
    from unweave.journal.locate import VARIABLE, locate

    path = locate(given)
    if given is not None or path.exists():
        return path
    if os.environ.get(VARIABLE):
        _say(
            f"{path}, which {VARIABLE} names, is not there, and nothing was written to it; --journal makes it"
        )
    return None


def _run(asked: Asked, journal: Path | None) -> ExperimentRun:
    from unweave.experiments import load_experiment

    if journal is None:
        return load_experiment(asked.experiment).run(
            preset=asked.preset, seed=asked.seed, out=asked.out, progress=asked.progress, seeds=asked.seeds
        )
    from unweave.experiments.journalled import claims_of, run_in_journal
    from unweave.journal import Journal

    claims = len(claims_of(asked.experiment))
    with Journal.open(journal, create=True) as log:
        _say(f"writing {claims} claim{'s' if claims != 1 else ''} to {log.path} before the run")
        done = run_in_journal(
            asked.experiment,
            log,
            preset=asked.preset,
            seed=asked.seed,
            out=asked.out,
            progress=asked.progress,
            seeds=asked.seeds,
        )
        _say(done.problem or f"entries {done.first} to {done.last}; `unweave journal verify` checks them")
    return done.run


def _say(text: str) -> None:
    typer.echo(f"journal: {text}", err=True)
