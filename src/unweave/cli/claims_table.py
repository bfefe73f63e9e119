"""Claims and their verdicts as a table that reads well at 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

SHOWN = 3  # measurements a claim; the report has them all

_STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}


def console() -> Console:
    """A console on stdout; rich honours NO_COLOR and leaves colour out when stdout is no terminal."""
    return Console(highlight=False)


def print_claims(terminal: Console, claims: Iterable[Mapping[str, Any]]) -> None:
    """Print one row a claim: the verdict, and beside it what was claimed, predicted and measured."""
    table = Table(box=box.SIMPLE_HEAD, show_lines=True, padding=(0, 1), pad_edge=False)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Claim", ratio=1)
    for claim in claims:
        verdict = str(claim["verdict"])
        table.add_row(Text(verdict, style=_STYLES.get(verdict, "")), _claim(claim))
    terminal.print(table)


def _claim(claim: Mapping[str, Any]) -> Group:
    details = Table.grid(padding=(0, 1))
    details.add_column(style="dim", no_wrap=True)
    details.add_column(ratio=1)
    details.add_row("predicted", Text(str(claim["prediction"])))
    details.add_row("measured", Text(_measured(claim["measured"])))
    if claim["verdict"] != "supported":
        details.add_row("because", Text(str(claim["reason"])))
    return Group(Text(f"{claim['id']}: {claim['statement']}", style="bold"), details)


def _measured(measurements: Sequence[Mapping[str, Any]]) -> str:
    if not measurements:
        return "nothing"
    lines = [_measurement(measurement) for measurement in measurements[:SHOWN]]
    if len(measurements) > SHOWN:
        lines.append(f"and {len(measurements) - SHOWN} more")
    return "\n".join(lines)


def _measurement(measurement: Mapping[str, Any]) -> str:
    parts = [f"{measurement['name']}:", _number(measurement["value"])]
    if measurement["interval"] is not None:
        low, high = measurement["interval"]
        parts.append(f"[{_number(low)}, {_number(high)}]")
    if measurement["unit"]:
        parts.append(measurement["unit"])
    return " ".join(parts)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
