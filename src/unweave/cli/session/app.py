"""`unweave session`: its table of commands."""

from __future__ import annotations

import typer

from unweave.cli.session.example import example
from unweave.cli.session.exporting import export
from unweave.cli.session.importing import import_session
from unweave.cli.session.looking import list_sessions, search, show
from unweave.cli.session.reviewing import review

app = typer.Typer(
    help="Recorded sessions: look at them, search them, hand them on.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _name, _command in {
    "list": list_sessions,
    "show": show,
    "search": search,
    "review": review,
    "export": export,
    "import": import_session,
    "example": example,
}.items():
    app.command(_name)(_command)
