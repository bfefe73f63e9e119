"""`unweave train`: train the model that a file describes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.run import Interrupted

if TYPE_CHECKING:
    from unweave.training.run_file import RunConfig


def train(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.json", help="Model, task and training: see --example."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in it, or begin.")
    ] = False,
    inexact: Annotated[
        bool,
        typer.Option(
            "--inexact", help="Resume also with other threads, versions or devices: roundings differ."
        ),
    ] = False,
    track: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="tensorboard, wandb or trackio get the numbers too."),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Train N models at once, from the file's seeds on; DIR/member-0 and so on.",
        ),
    ] = 1,
    example: Annotated[bool, typer.Option("--example", help="Print a small CONFIG.json, and stop.")] = False,
) -> None:
    """Train a model; resume is exact. Started by torchrun, processes share every batch."""
    from unweave.core.errors import InputError
    from unweave.training.run_file import EXAMPLE, RunConfig

    if example:
        typer.echo(json.dumps(EXAMPLE, indent=1))
        return
    if config is None or out is None:
        raise InputError(
            wanted="a CONFIG.json and --out DIR",
            got="no config" if config is None else "no --out",
            remedy="unweave train --example prints a config",
        )
    run = RunConfig.read(config)
    _require_free(out, resume)
    if seeds > 1:
        _train_seeds(run, seeds, out, resume, not inexact, track)
        return
    from unweave.training import train as begin
    from unweave.training.tracking import tracker

    try:
        with _joined() as first:
            # One process has all the numbers: the others would begin runs of their own.
            trackers = [tracker(name, out, run.to_dict(), resume) for name in track or []] if first else []
            outcome = begin(
                run.build(),
                run.task,
                run.training,
                out,
                progress=first and sys.stderr.isatty(),
                resume=resume,
                exact=not inexact,
                trackers=trackers,
            )
    except KeyboardInterrupt as stop:
        raise Interrupted(str(stop) or "interrupted") from None
    if first:
        last = outcome.history[-1]
        typer.echo(f"loss {last.loss:.4g} nats after {last.step + 1} steps; model: {out / 'model'}")


def _train_seeds(
    run: RunConfig, seeds: int, out: Path, resume: bool, exact: bool, track: list[str] | None
) -> None:
    from unweave.core.errors import InputError
    from unweave.training import TrainingDiverged, train_ensemble

    if track:
        raise InputError(
            wanted="no --track with --seeds",
            got=f"--track {track[0]}",
            remedy="each member's history.jsonl holds the same numbers",
        )
    try:
        ensemble = train_ensemble(
            run.over_seeds(seeds), out, progress=sys.stderr.isatty(), resume=resume, exact=exact
        )
    except KeyboardInterrupt as stop:
        raise Interrupted(str(stop) or "interrupted") from None
    for number, member in enumerate(ensemble):
        if number not in ensemble.diverged:
            last = member.history[-1]
            typer.echo(f"{member.out}: loss {last.loss:.4g} nats after {last.step + 1} steps")
    if ensemble.diverged:
        told = "; ".join(f"{ensemble[number].out}: {said}" for number, said in ensemble.diverged.items())
        raise TrainingDiverged(told)


def _require_free(out: Path, resume: bool) -> None:
    from unweave.core.errors import InputError
    from unweave.training.run_file import RUN

    if not resume and any(path.exists() for path in (out / RUN, *out.glob(f"member-*/{RUN}"))):
        raise InputError(
            wanted="a new folder for --out",
            got=f"{out}, which holds a run",
            remedy="add --resume to go on with it, or name another folder",
        )


@contextmanager
def _joined() -> Generator[bool]:
    """Within the block, this process is one of those that torchrun began, if it did; whether it is the first."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield True
        return
    import torch

    torch.distributed.init_process_group("gloo")
    try:
        yield torch.distributed.get_rank() == 0
    finally:
        torch.distributed.destroy_process_group()
