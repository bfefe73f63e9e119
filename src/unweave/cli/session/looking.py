"""`unweave session list`, `show` and `search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from unweave.cli.journal.options import Json, Path_, opened, print_json

if TYPE_CHECKING:
    from unweave.journal.sessions import Session, Step

Which = Annotated[
    str, typer.Argument(metavar="ID", help="The session's id, its beginning or end, or `last`.")
]


def list_sessions(journal: Path_ = None, as_json: Json = False) -> None:
    """List the sessions of the journal, the latest last."""
    from unweave.journal.sessions import sessions

    with opened(journal) as log:
        found = sessions(log)
        if as_json:
            print_json([_facts(session) for session in found])
            return
        from rich.text import Text

        from unweave.cli.claims_table import console
        from unweave.cli.journal.tables import local, table

        rows = table(
            ("Id", "whole"),
            ("Started", "whole"),
            ("Cells", "right"),
            ("Failed", "right"),
            ("", "whole"),
            ("Title", "wide"),
        )
        for session in found:
            counts = (str(session.step_count), str(session.failed) if session.failed else "")
            state = "" if session.state == "stopped" else session.state
            rows.add_row(session.id, local(session.started), *counts, state, Text(session.title or "—"))
        console().print(rows if found else "no session yet: `%load_ext unweave`, then `%record start`")


def show(session: Which, journal: Path_ = None, as_json: Json = False) -> None:
    """Show a session: each cell with when it ran, how long, and what was said of it."""
    from unweave.journal.sessions import session as find
    from unweave.recorder.exports.passages import Words, passages
    from unweave.recorder.exports.wording import took, worded

    with opened(journal) as log:
        found = find(log, session)
        if as_json:
            print_json({**_facts(found), "steps": [_step(step) for step in found.steps()]})
            return
        from rich.text import Text

        from unweave.cli.claims_table import console
        from unweave.cli.journal.tables import local, table

        terminal = console()
        title = Text(found.title or "(no title)", style="bold")
        terminal.print(title, Text(f" {found.id}, {local(found.started)}, {found.state}", style="dim"))
        rows = table(("", "right"), ("Took", "right"), ("", "whole"), ("", "wide"))
        for passage in passages(found, private=True):
            if isinstance(passage, Words):
                said = worded(passage)
                rows.add_row("", "", "", Text(f"{said.title}: {said.text}", style="cyan"))
                continue
            step = passage.step
            status = "" if step.status == "ok" else step.status
            mark = "private" if step.private else ""
            rows.add_row(
                str(step.n),
                took(step.seconds),
                " ".join(filter(None, (status, mark))),
                Text(_first(passage.code)),
            )
        terminal.print(rows)


def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help='All of them; "in quotes" together.')],
    journal: Path_ = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Search the code, outputs and words of all sessions, and say in which cell they stand."""
    from unweave.journal.sessions import sessions

    with opened(journal) as log:
        query = " ".join(f'"{word}"' if " " in word else word for word in words)
        # What belongs to no session is found by `unweave journal search`.
        hits = [hit for hit in log.search(query, limit=20 * limit) if hit.entry.session][:limit]
        titles = {session.id: session.title for session in sessions(log)}
        numbers = {
            e.id: e.body["n"]
            for id in {hit.entry.session for hit in hits}  # noqa: A001
            for e in log.entries("step_started", session=id)
            if e.body
        }
        rows = [
            {
                "session": hit.entry.session,
                "title": titles.get(hit.entry.session or "", ""),
                "cell": numbers.get(hit.entry.id, numbers.get(hit.entry.about or "")),
                "kind": {"step_started": "code"}.get(hit.entry.kind, hit.entry.kind),
                "around": hit.around,
            }
            for hit in hits
        ]
    if as_json:
        print_json(rows)
        return
    from rich.text import Text

    from unweave.cli.claims_table import console
    from unweave.cli.journal.tables import table

    made = table(("Session", "whole"), ("Cell", "right"), ("", "whole"), ("", "wide"))
    for row in rows:
        cell = "" if row["cell"] is None else str(row["cell"])
        made.add_row(str(row["session"]), cell, str(row["kind"]), Text(str(row["around"])))
    console().print(made if rows else "nothing found")


def _facts(session: Session) -> dict[str, Any]:
    names = ("id", "title", "sort", "state", "started", "ended", "step_count", "failed", "degraded")
    return {name: getattr(session, name) for name in names}


def _step(step: Step) -> dict[str, Any]:
    names = (
        "id",
        "n",
        "status",
        "started",
        "ended",
        "seconds",
        "private",
        "narration",
        "outputs_count",
        "code",
    )
    return {name: getattr(step, name) for name in names}


def _first(code: str) -> str:
    lines = [line for line in code.split("\n") if line.strip()] or [""]
    return lines[0] + (f"  … {len(lines) - 1} more" if len(lines) > 1 else "")
