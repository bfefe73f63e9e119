"""`unweave inspect`: a model's sizes, hooks, and memory, from its config alone."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="PATH_OR_ID", help="A model folder, a hub id or a short name.")
    ],
    dtype: Annotated[str, typer.Option(metavar="DTYPE", help="Of weights and activations.")] = "float32",
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Sequences in a batch.")] = 1,
    seq: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Their length (default: n_ctx, at most 1024).")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="A branch, tag or commit of the hub.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, and nothing else.")] = False,
) -> None:
    """Show a model's sizes, hook names with shapes, and memory; no weights are loaded."""
    from unweave.pretrained.inspection import as_json as to_json
    from unweave.pretrained.inspection import inspect_model

    found = inspect_model(model, dtype, batch, seq, revision)
    if as_json:
        typer.echo(json.dumps(to_json(found), indent=1))
        return

    from unweave.cli.inspect_tables import print_inspection
    from unweave.cli.sizes import console

    print_inspection(console(), found)
