"""`unweave session review`."""

from __future__ import annotations

from dataclasses import asdict

from unweave.cli.journal.options import Json, Path_, opened, print_json
from unweave.cli.session.looking import Which


def review(session: Which, journal: Path_ = None, as_json: Json = False) -> None:
    """Show what an export would publish: what is left out, what was taken out, what looks personal."""
    from unweave.journal.sessions import session as find
    from unweave.recorder.exports.review import review as look

    with opened(journal) as log:
        found = look(find(log, session))
    if as_json:
        print_json(asdict(found))
        return
    from rich.text import Text

    from unweave.cli.claims_table import console

    terminal = console()
    terminal.print(
        f"An export holds {found.cells} cells, {found.words} records, and {found.outputs} outputs of {found.size / 1e6:.2f} MB."
    )
    if found.private:
        terminal.print(f"Left out, as private: cells {', '.join(map(str, found.private))}.")
    if found.redacted:
        counted = ", ".join(f"{name} ({n})" for name, n in found.redacted.most_common())
        terminal.print(Text(f"Taken out before it was written: {counted}."))
    terminal.print("Looks personal:" if found.personal else "Nothing that looks personal was found.")
    for one in found.personal:
        terminal.print(Text(f"  {one.where}: {one.what}: {one.text}"))
    if found.personal:
        terminal.print(
            "  `%private --cell N` keeps a cell out; `unweave journal purge` removes an entry for good."
        )
    if found.obstacles:
        terminal.print("A notebook of it:")
    for one in found.obstacles:
        terminal.print(Text(f"  cell {one.step} {'stops it' if one.stops else 'may differ'}: {one.text}"))
