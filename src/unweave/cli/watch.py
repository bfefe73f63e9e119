"""`unweave watch`: a run in the terminal, while it goes on."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

PATIENCE = 10.0  # times what a look takes, between two of them
BLOCKS = " ▁▂▃▄▅▆▇█"


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder that unweave train writes.")],
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and stop.")] = False,
) -> None:
    """Watch a run: its loss, spikes, and the time left. Ends with the run; Ctrl-C leaves it running."""
    from rich.live import Live

    from unweave.cli.claims_table import console
    from unweave.training.progress import Progress

    terminal = console()
    seen = Progress.read(run)
    if once or not terminal.is_terminal:
        terminal.print(view(run, seen, terminal.width))
        return
    try:
        with Live(view(run, seen, terminal.width), console=terminal, auto_refresh=False) as live:
            while not seen.done:
                begun = time.monotonic()
                seen = Progress.read(run)
                live.update(view(run, seen, terminal.width), refresh=True)
                # A look at a long run takes a while: the run itself needs the processor more.
                time.sleep(max(every, PATIENCE * (time.monotonic() - begun)))
    except KeyboardInterrupt:
        return


def view(run: Path, seen: Any, width: int) -> Any:
    """What the terminal shows of a run."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not seen.history:
        return Text(f"{run}: no step is done yet")
    last, spikes = seen.history[-1], seen.spikes
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("step", f"{len(seen.history)} of {seen.steps}{_state(seen)}")
    table.add_row("loss", f"{last.loss:.4g} nats, accuracy {last.accuracy:.1%}")
    if seen.held_out:
        held = seen.held_out[-1]
        table.add_row(
            "held out", f"{held.loss:.4g} nats, accuracy {held.accuracy:.1%}, after {held.step} steps"
        )
    latest = f", the last at step {spikes[-1].step} ({spikes[-1].loss:.3g} nats)" if spikes else ""
    table.add_row("spikes", f"{len(spikes)}{latest}")
    table.add_row("gradient", f"norm {last.grad_norm:.3g}, learning rate {last.lr:.3g}")
    losses = [record.loss for record in seen.history]
    return Group(Text(str(run), style="bold"), table, Text(), *chart(losses, min(width - 10, 100)))


def _state(seen: Any) -> str:
    if seen.done:
        return ", finished"
    if seen.stopped:
        return f", nothing for {duration(seen.silent)}: stopped? unweave train --resume goes on"
    return "" if seen.left is None else f", {duration(seen.left)} left, {seen.pace:.3g} s a step"


def chart(losses: Sequence[float], width: int, height: int = 8) -> list[Any]:
    """The loss on a logarithmic axis, a column each for equal numbers of steps: their largest, so that spikes show."""
    from rich.text import Text

    columns = min(width, len(losses))
    edges = [round(n * len(losses) / columns) for n in range(columns + 1)]
    tops = [math.log(max(max(losses[a:b]), 1e-12)) for a, b in itertools.pairwise(edges)]
    low, high = min(tops), max(tops)
    span = max(high - low, 1e-9)
    fills = [(top - low) / span * (height - 1 / 8) + 1 / 8 for top in tops]
    rows: list[Any] = []
    for row in reversed(range(height)):
        mark = math.exp(low + span * row / (height - 1))
        cells = "".join(BLOCKS[max(0, min(8, round((fill - row) * 8)))] for fill in fills)
        rows.append(Text(f"{mark:>8.3g} ").append(cells, style="cyan"))
    rows.append(Text(" " * 9 + f"loss in nats, logarithmic; steps 0 to {len(losses) - 1}", style="dim"))
    return rows


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
