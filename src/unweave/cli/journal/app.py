"""`unweave journal`: its table of commands."""

from __future__ import annotations

import typer

from unweave.cli.journal.looking import list_entries, search
from unweave.cli.journal.purging import purge
from unweave.cli.journal.reckoning import audit, calibration, ledger
from unweave.cli.journal.verifying import verify
from unweave.cli.journal.writing import add, adopt, comments

app = typer.Typer(
    help="The research log: check it, question it, write to it.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


for _name, _command in {
    "verify": verify,
    "audit": audit,
    "calibration": calibration,
    "ledger": ledger,
    "list": list_entries,
    "search": search,
    "add": add,
    "comments": comments,
    "adopt": adopt,
    "purge": purge,
}.items():
    app.command(_name)(_command)
