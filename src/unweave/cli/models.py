"""`unweave models`: the families of pretrained models that can be opened, and what of each is honoured."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the families as JSON, and nothing else.")
    ] = False,
) -> None:
    """List the families of pretrained models that can be opened."""
    from unweave.pretrained.families import families

    known = sorted(families().values(), key=lambda family: family.name.lower())
    if as_json:
        rows = [
            {
                "name": family.name,
                "architectures": list(family.architectures),
                "supports": family.supports,
                "examples": list(family.examples),
            }
            for family in known
        ]
        typer.echo(json.dumps(rows, indent=1))
        return

    from rich.table import Table
    from rich.text import Text

    from unweave.cli.sizes import console, headed

    table = headed(Table(), "Family", "What is honoured", wraps=True)
    for family in known:
        details = Text(family.supports or "see docs/pretrained.md")
        details.append(f"\n{', '.join(family.architectures)}")
        if family.examples:
            details.append(f"\n{', '.join(family.examples)}")
        table.add_row(Text(family.name, style="bold"), details)
    terminal = console()
    terminal.print(table)
    terminal.print("Open one with HookedTransformer.from_pretrained(NAME_OR_FOLDER).", markup=False)
    encoders = ", ".join(family.name for family in known if family.encoder)
    terminal.print(f"Encoders ({encoders}): HookedEncoder.from_pretrained(NAME_OR_FOLDER).", markup=False)
