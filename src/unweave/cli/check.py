"""`unweave check`: whether interventions on a model do what their names say."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def check(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL_DIR", help="A folder that model.save or transformers wrote."),
    ],
    seed: Annotated[int, typer.Option(help="Of the tokens that it is run on.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, and nothing else.")] = False,
) -> None:
    """Check a model: identity patches, whole patches, contributions, prefix reuse, attribution.

    The exit code is 0 if every check passed or was skipped, and 1 if one failed.
    """
    from pathlib import Path

    from unweave.analysis import check as run_checks
    from unweave.core.errors import InputError
    from unweave.model.saved import is_saved, load
    from unweave.model.transformer import HookedTransformer

    if not Path(model).is_dir():
        raise InputError(
            wanted="the folder of a model",
            got=model,
            remedy="name one that model.save(DIR) or save_pretrained(DIR) wrote",
        )
    opened = load(model) if is_saved(model) else HookedTransformer.from_pretrained(Path(model))
    found = run_checks(opened, seed=seed)
    if as_json:
        typer.echo(json.dumps({"model": model, **found.as_json()}, indent=1))
    else:
        from rich.table import Table
        from rich.text import Text

        from unweave.cli.sizes import console, headed

        table = headed(Table(title=model, title_justify="left"), "Check", "Result", wraps=True)
        colours = {"passed": "green", "failed": "bold red", "skipped": "dim"}
        for one in found.checks:
            error = "" if one.error is None else f" error {one.error:.1e}, at most {one.tolerance:.0e}:"
            told = Text(one.status, style=colours[one.status]).append(f"{error} {one.note}", style="default")
            table.add_row(Text(one.name), told)
        console().print(table)
    if not found.passed:
        raise typer.Exit(1)
