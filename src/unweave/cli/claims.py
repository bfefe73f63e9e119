"""`unweave claims`: put an experiment's claims to any saved model of its shape."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def claims(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="Whose claims are tested, for example no-position.")
    ],
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="The folder of a saved model.")],
    control: Annotated[
        Path | None, typer.Option(metavar="MODEL_DIR", help="A saved model to compare with.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the claims as JSON, and nothing else.")
    ] = False,
) -> None:
    """Test an experiment's claims on a saved model."""
    from unweave.experiments import load_experiment

    tested = load_experiment(experiment).test_claims(
        model_dir=model_dir, control_dir=control, progress=sys.stderr.isatty()
    )
    if as_json:
        typer.echo(json.dumps(tested, indent=1, allow_nan=False))
        return

    from unweave.cli.claims_table import console, print_claims

    print_claims(console(), tested)
