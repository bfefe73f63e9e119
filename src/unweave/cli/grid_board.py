"""A grid in the terminal: what runs, how far all of it is, the time left; and the table it ends in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unweave.cli.watch import duration

SHOWN = 12  # running runs in the live view
ROWS = 40  # rows of the last table; the files have all


@contextmanager
def watching(terminal: Console) -> Generator[Callable[[Any], None]]:
    """What shows the standings while the block goes on: live in a terminal, elsewhere a line a run that ends."""
    seen: set[str] = set()
    live = Live(console=terminal, auto_refresh=False) if terminal.is_terminal else None

    def watch(board: Any) -> None:
        if not seen:
            terminal.print(_begun(board), markup=False, soft_wrap=True)
            seen.update(name for name, s in board.standings.items() if s.state in ("finished", "diverged"))
            seen.add("")
        if live is not None:
            live.update(view(board), refresh=True)
            return
        for name, standing in board.standings.items():
            if standing.state in ("finished", "diverged", "failed") and name not in seen:
                seen.add(name)
                terminal.print(_ended(name, standing), markup=False, soft_wrap=True)

    if live is None:
        yield watch
        return
    with live:
        yield watch


def view(board: Any) -> Group:
    """What the terminal shows of a grid that goes on."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("run", "at", "step", "loss"):
        table.add_column(
            column, justify="right" if column in ("step", "loss") else "left", no_wrap=column != "at"
        )
    running = [standing for standing in board.standings.values() if standing.state == "running"]
    for standing in running[:SHOWN]:
        loss = "" if standing.loss is None else f"{standing.loss:.4g}"
        table.add_row(standing.member.name, standing.member.told, f"{standing.step}/{standing.steps}", loss)
    if len(running) > SHOWN:
        table.add_row("", f"and {len(running) - SHOWN} more", "", "")
    left = "" if board.left is None else f", about {duration(board.left)} left"
    total = Table.grid(padding=(0, 1))
    total.add_row(ProgressBar(total=1.0, completed=board.share, width=30), f"{board.share:.0%}{left}")
    return Group(table, total, Text(_counts(board)))


def print_results(terminal: Console, results: Any) -> None:
    """The table of results, and where all of it lies."""
    from unweave.training.grids.results import COLUMNS

    axes = [name for name in results.rows[0] if name not in COLUMNS]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in ("run", *(axis.split(".")[-1] for axis in axes), "seed", "loss", "held out", "spikes", "min"):
        table.add_column(name, no_wrap=name == "run", justify="left" if name == "run" else "right")
    for row in results.rows[:ROWS]:
        ended = "" if row["state"] == "finished" else f" {row['state']}"
        numbers = [_number(row[name]) for name in ("loss", "held_out_loss", "spikes", "minutes")]
        table.add_row(
            f"{row['run']}{ended}", *(_told(row[axis]) for axis in axes), _told(row["seed"]), *numbers
        )
    terminal.print(table)
    if len(results.rows) > ROWS:
        terminal.print(f"and {len(results.rows) - ROWS} more", markup=False)
    for row in results.failed:
        terminal.print(f"failed: {row['run']}: {row['error']}", markup=False, soft_wrap=True)
    counts = Counter(row["state"] for row in results.rows)
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    terminal.print(f"{said}; losses in nats: {results.folder / 'results.csv'}", markup=False, soft_wrap=True)


def _begun(board: Any) -> str:
    before = board.count("finished", "diverged")
    kept = f"; {before} done before, not run again" if before else ""
    return f"{board.told}{kept}"


def _ended(name: str, standing: Any) -> str:
    loss = "" if standing.loss is None else f", loss {standing.loss:.4g} nats"
    why = f": {standing.errors[-1]}" if standing.state == "failed" else ""
    return f"{name} {standing.state}{loss} ({standing.member.told}){why}"


def _counts(board: Any) -> str:
    counts = Counter(standing.state for standing in board.standings.values())
    again = sum(len(standing.errors) for standing in board.standings.values())
    retried = f"; {again} failed attempts" if again else ""
    order = ("finished", "diverged", "failed", "stopped", "running", "waiting")
    return ", ".join(f"{counts[state]} {state}" for state in order if counts[state]) + retried


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(value: Any) -> str:
    from unweave.training.grids.member import short

    return "" if value is None else short(value)
