"""Tables of the journal that read well at 80 columns."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from unweave.journal import Entry


def table(*columns: tuple[str, str], lines: bool = False) -> Table:
    """An empty table; of each column its heading, and how it stands: "left", "right", "whole" (never broken), or "wide"."""
    made = Table(box=box.SIMPLE_HEAD, show_lines=lines, padding=(0, 1), pad_edge=False)
    for heading, how in columns:
        made.add_column(
            heading,
            justify="right" if how == "right" else "left",
            no_wrap=how in ("right", "whole"),
            ratio=1 if how == "wide" else None,
            overflow="fold",
        )
    return made


def local(time: str) -> str:
    """An entry's time on this machine's clock."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")


def line_of(entry: Entry, width: int = 300) -> Text:
    """An entry in one line: what it says, and for a prediction how sure."""
    from unweave.journal.research import part, title

    if entry.body is None:
        return Text("(purged)", style="dim")
    text = title(entry, width)
    if entry.kind == "prediction" and part(entry, "probability") is not None:
        text = f"{percent(part(entry, 'probability'))}: {text}"
    if entry.kind == "surface":
        text = f"{part(entry, 'sort')}: {text}"
    if entry.kind in ("verdict", "outcome"):
        said = part(entry, "verdict") or part(entry, "result")
        text = said if text == said else f"{said}: {text}"
    return Text(text)


def percent(share: float) -> str:
    """A share as a percentage, without needless digits."""
    return f"{100 * share:.3g}%"


def minutes(number: float | None) -> str:
    """Minutes as "3 min", "1 h 20 min"; "" for none."""
    if number is None:
        return ""
    if 0 < number < 1:
        return f"{60 * number:.0f} s"
    whole = round(number)
    return f"{whole} min" if whole < 60 else f"{whole // 60} h {whole % 60:02} min"
