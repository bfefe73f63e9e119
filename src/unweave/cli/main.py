"""`unweave`: the table of commands, and how a command that fails says so.

Exit codes: 0 done, 1 failed, 2 bad input. A mistake or a failure is one line on stderr, `error: …`;
only a bug of ours shows its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, cast

import typer

from unweave import __version__
from unweave.cli.check import check
from unweave.cli.claims import claims
from unweave.cli.doctor import doctor
from unweave.cli.dynamics import dynamics
from unweave.cli.grid import grid
from unweave.cli.inspect import inspect
from unweave.cli.journal.app import app as journal
from unweave.cli.models import models
from unweave.cli.run import run
from unweave.cli.session.app import app as session
from unweave.cli.train import train
from unweave.cli.watch import watch
from unweave.core.errors import InputError

# Each command imports its room when it runs: help and misspelt commands are answered at once.
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "claims": claims,
    "train": train,
    "grid": grid,
    "watch": watch,
    "doctor": doctor,
    "dynamics": dynamics,
    "models": models,
    "inspect": inspect,
    "check": check,
}

# Packages that come with an extra, and the extra that brings them.
EXTRAS = {
    "ipykernel": "notebook",
    "nbclient": "notebook",
    "nbformat": "notebook",
    "ray": "cluster",
}

DONE, FAILED, BAD_INPUT = 0, 1, 2

# What typer raises for a command line that it cannot read; it exports only this subclass of it.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
_INTERRUPTED = 130  # what typer makes of Ctrl-C; its older versions raise Abort

app = typer.Typer(
    name="unweave",
    help="Train a small transformer, open it up, and test causally how it works.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(journal, name="journal")
app.add_typer(session, name="session")


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"unweave {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that go before any command; their callbacks do the work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments`, by default `sys.argv`, asks for; return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code: int | None = app(args=arguments, prog_name="unweave", standalone_mode=False)
    except typer.Abort:
        code = _INTERRUPTED
    except _UsageError as error:
        if not error.format_message():  # a bare `unweave journal`, which was answered with its help
            return BAD_INPUT
        asked = error.ctx.command_path if error.ctx else "unweave"
        return _fail(BAD_INPUT, f"{error.format_message()} (see {asked} --help)")
    except InputError as error:
        return _fail(BAD_INPUT, str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(FAILED, f"{error.name} is not installed; pip install 'unweave[{extra}]' brings it")
    except OSError as error:
        return _fail(FAILED, str(error))
    except Exception as error:
        if not type(error).__module__.startswith("unweave."):
            raise
        return _fail(FAILED, str(error))
    return _fail(FAILED, "interrupted") if code == _INTERRUPTED else code or DONE


def _fail(code: int, message: str) -> int:
    typer.echo(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
