"""Tables and sizes as the command line writes them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table


def console() -> Console:
    """A console on stdout; rich honours NO_COLOR and leaves colour out when stdout is no terminal."""
    return Console(highlight=False)


def headed(table: Table, first: str, last: str, wraps: bool = False) -> Table:
    """`table` with two columns, the first for names; the second `wraps` where the line ends."""
    table.box, table.pad_edge, table.padding = box.SIMPLE_HEAD, False, (0, 1)
    table.add_column(first, no_wrap=wraps, overflow="fold")
    table.add_column(last, ratio=1 if wraps else None, no_wrap=not wraps)
    return table


def counted(number: int) -> str:
    """`124439808` as "124.4 million"."""
    for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return str(number)


def in_bytes(number: int) -> str:
    """`1536` as "1.5 KiB"."""
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:.1f} {name}"
    return f"{number} B"
