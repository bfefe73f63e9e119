"""`unweave doctor`: what is wrong with a run, before it begins, or from its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

COLOURS = {"warning": "bold yellow", "advice": "cyan"}
VERDICTS = {"confirmed": "green", "refuted": "red"}


def doctor(
    run: Annotated[Path, typer.Argument(metavar="CONFIG.json|RUN_DIR", help="A config, or a run's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, and nothing else.")] = False,
    spikes: Annotated[
        int, typer.Option(min=0, metavar="N", help="Explain so many loss spikes, the highest.")
    ] = 5,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="Run the cheapest experiment on each cause: a part of the run again, changed."
        ),
    ] = False,
) -> None:
    """Look for what spoils a run: schedule, first loss, shortcuts; in a run, its loss spikes and their causes.

    The exit code is 0 if there is no warning, and 1 if there is one.
    """
    from unweave.core.errors import InputError
    from unweave.training.doctor import examine, examine_run
    from unweave.training.run_file import RunConfig

    if run.is_dir():
        with _shown() as progress:
            found = examine_run(run, most=spikes, confirming=confirm, progress=progress)
    elif confirm:
        raise InputError(
            wanted="the folder of a run to experiment on, with --confirm",
            got=str(run),
            remedy="leave --confirm out, or name what unweave train --out wrote",
        )
    else:
        found = examine(RunConfig.read(run))
    if as_json:
        typer.echo(json.dumps({"run": str(run), **found.to_dict()}, indent=1, allow_nan=False))
    else:
        _print(found)
    if not found.healthy:
        raise typer.Exit(1)


def _print(found: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from unweave.cli.claims_table import console

    terminal = console()
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for finding in found.findings:
        table.add_row(Text(f"{finding.severity}:", style=COLOURS[finding.severity]), Text(finding.said))
        for line in finding.details:
            table.add_row("", Text(line, style="dim"))
        table.add_row("", Text(f"to be sure: {finding.experiment}", style="dim"))
        if finding.confirmation is not None:
            table.add_row("", _verdict(finding.confirmation))
    if found.findings:
        terminal.print(table)
    told = "nothing to warn of" if found.healthy else "see above"
    terminal.print(f"looked at {', '.join(found.looked_at)}: {told}", markup=False)
    for what, why in found.skipped.items():
        terminal.print(f"not looked at: {what} ({why})", markup=False)


def _verdict(confirmation: Any) -> Any:
    from rich.text import Text

    verdict, cause = confirmation["verdict"], confirmation["cause"]
    instead = f", it is {cause}" if verdict == "refuted" and cause != "unknown" else ""
    head = Text(f"{verdict}{instead}: ", style=VERDICTS.get(verdict, "yellow"))
    return head.append(confirmation["said"], style="default")


@contextmanager
def _shown() -> Generator[Callable[[str, int, int], None]]:
    """Within the block, how far the doctor has come is on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as shown:
        tasks: dict[str, Any] = {}

        def progress(said: str, done: int, of: int) -> None:
            for other, task in tasks.items():
                shown.update(task, visible=other == said)
            if said not in tasks:
                tasks[said] = shown.add_task(said)
            shown.update(tasks[said], completed=done, total=of, visible=True)

        yield progress
