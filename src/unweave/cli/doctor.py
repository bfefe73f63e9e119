"""`unweave doctor`: what is wrong with a run, before it begins, or from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    run: Annotated[Path, typer.Argument(metavar="CONFIG.json|RUN_DIR", help="A config, or a run's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, and nothing else.")] = False,
) -> None:
    """Look for what spoils a run: schedule, first loss, shortcuts; and in a run, spikes, bad batches, clipping.

    The exit code is 0 if there is no warning, and 1 if there is one.
    """
    from unweave.training.doctor import examine, examine_run
    from unweave.training.run_file import RunConfig

    found = examine_run(run) if run.is_dir() else examine(RunConfig.read(run))
    if as_json:
        typer.echo(json.dumps({"run": str(run), **found.to_dict()}, indent=1))
    else:
        from rich.text import Text

        from unweave.cli.claims_table import console

        terminal = console()
        for finding in found.findings:
            colour = "bold yellow" if finding.severity == "warning" else "cyan"
            terminal.print(Text(f"{finding.severity}: ", style=colour).append(finding.said, style="default"))
            terminal.print(Text(f"  to be sure: {finding.experiment}", style="dim"))
        told = "nothing to warn of" if found.healthy else "see above"
        terminal.print(f"looked at {', '.join(found.looked_at)}: {told}", markup=False)
        for what, why in found.skipped.items():
            terminal.print(f"not looked at: {what} ({why})", markup=False)
    if not found.healthy:
        raise typer.Exit(1)
