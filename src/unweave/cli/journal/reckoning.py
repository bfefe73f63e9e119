"""`unweave journal audit`, `calibration` and `ledger`: what a reader would ask, how sure one was, where time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.cli.journal.options import Json, Path_, opened, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from unweave.journal.calibration import Calibration
    from unweave.journal.ledger import Ledger

SHOWN = 10  # surprises; --json has them all


def audit(journal: Path_ = None, as_json: Json = False) -> None:
    """Say what a critical reader would ask: advice, never a verdict, and each with its cheapest mend."""
    from unweave.journal.audit import audit as audited

    with opened(journal) as log:
        found = audited(log)
    if as_json:
        print_json(found.to_dict())
        return
    from rich.text import Text

    from unweave.cli.claims_table import console
    from unweave.cli.journal.tables import line_of, table

    terminal = console()
    if found.advice:
        rows = table(("Entry", "right"), ("", "wide"), lines=True)
        for one in found.advice:
            said = Text.assemble((one.rule, "bold"), f": {one.text}\n", line_of(one.entry, 120))
            said.append(f"\nmend: {one.mend}\nsee: {one.reference}", style="dim")
            rows.add_row(str(one.entry.seq), said)
        terminal.print(rows)
    passed = f"; {found.exploratory} marked exploratory were passed over" if found.exploratory else ""
    terminal.print(f"{len(found.advice)} questions to {found.looked_at} entries{passed}.", markup=False)
    terminal.print("Only what was written down can be looked at.", style="dim")


def calibration(journal: Path_ = None, as_json: Json = False) -> None:
    """Say how well the predictions were calibrated: Brier score, reliability, and the surprises first."""
    from unweave.journal.calibration import calibration as calibrated

    with opened(journal) as log:
        found = calibrated(log)
    if as_json:
        print_json(found.to_dict())
        return
    from unweave.cli.claims_table import console

    _print_calibration(console(), found)


def ledger(journal: Path_ = None, as_json: Json = False) -> None:
    """Say where the time went, which runs failed, and what was abandoned."""
    from unweave.journal.ledger import ledger as accounted

    with opened(journal) as log:
        found = accounted(log)
    if as_json:
        print_json(found.to_dict())
        return
    from unweave.cli.claims_table import console

    _print_ledger(console(), found)


def _print_calibration(terminal: Console, found: Calibration) -> None:
    from rich.text import Text

    from unweave.cli.journal.tables import percent, table

    if found.brier is not None and found.brier_of_base_rate is not None:
        terminal.print(
            f"Brier score {found.brier:.3f} over {len(found.forecasts)} predictions "
            f"(0 is best; always saying the base rate, {percent(found.base_rate or 0.0)}, would have given "
            f"{found.brier_of_base_rate:.3f})."
        )
        surprises = table(("Surprise", "right"), ("Said", "right"), ("Came", "whole"), ("Prediction", "wide"))
        for one in found.forecasts[:SHOWN]:
            bits = "∞" if one.surprise == float("inf") else f"{one.surprise:.1f} bits"
            surprises.add_row(
                bits, percent(one.probability), "yes" if one.came_true else "no", Text(one.statement)
            )
        terminal.print(surprises)
        if len(found.forecasts) > SHOWN:
            terminal.print(f"and {len(found.forecasts) - SHOWN} less surprising ones\n", style="dim")
        bins = table(
            ("Said", "whole"),
            ("n", "right"),
            ("Mean said", "right"),
            ("Came true", "right"),
            ("95% interval", "whole"),
            ("", "left"),
        )
        for one in found.bins:
            low, high = one.interval
            bins.add_row(
                f"{percent(one.low)}–{percent(one.high)}",
                str(one.n),
                percent(one.said),
                percent(one.share),
                f"{100 * low:.0f}% to {100 * high:.0f}%",
                one.off,
            )
        terminal.print(bins)
    else:
        terminal.print("No prediction with a probability has come out yet.")
    for why, number in found.left_out.items():
        terminal.print(f"{number} not counted: {why}.", style="dim")
    for warning in found.warnings:
        terminal.print(f"warning: {warning}", style="yellow", markup=False)


def _print_ledger(terminal: Console, found: Ledger) -> None:
    from rich.text import Text

    from unweave.cli.journal.tables import local, minutes, table

    rows = table(
        ("Time", "right"), ("Running", "right"), ("Cells", "right"), ("Failed", "right"), ("Question", "wide")
    )
    for row in found.rows:
        verdicts = "".join(f", {number} {verdict}" for verdict, number in row.verdicts.items())
        said = Text(row.text)
        said.append(f"\n{row.predictions} predictions, {row.evidence} evidence{verdicts}", style="dim")
        rows.add_row(minutes(row.minutes), minutes(row.running), str(row.steps), str(row.failed or ""), said)
    terminal.print(rows)
    terminal.print(f"{minutes(found.minutes)} in all.")
    if found.failures:
        failures = table(("Failed", "wide"), ("How", "left"), ("After", "right"))
        for one in found.failures:
            failures.add_row(Text(one.what), Text(one.how), minutes(one.minutes))
        terminal.print(failures)
    if found.loose:
        loose = table(("Left since", "whole"), ("", "left"), ("", "wide"))
        for one in found.loose:
            loose.add_row(local(one.since), one.sort, Text(one.text))
        terminal.print(loose)
    for warning in found.warnings:
        terminal.print(f"warning: {warning}", style="yellow", markup=False)
