"""`unweave journal add`, `comments` and `adopt`: what is written from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unweave.cli.journal.options import Json, Path_, opened, print_json

if TYPE_CHECKING:
    from unweave.journal import Entry, Record

SORTS = (
    *("question", "hypothesis", "rival", "prediction", "outcome", "verdict"),
    *("confusing", "idea", "next", "resolved", "note", "comment"),
)


def add(
    sort: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of {', '.join(SORTS)}.")],
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What it says; an outcome's or verdict's reason.")
    ] = "",
    about: Annotated[
        str | None, typer.Option(metavar="ID", help="The entry that it is about, by its id or number.")
    ] = None,
    probability: Annotated[
        str | None, typer.Option("--probability", "-p", metavar="70%", help="Of a prediction.")
    ] = None,
    seen: Annotated[
        str, typer.Option(metavar="TEXT", help="Of a prediction: what had been seen so far.")
    ] = "",
    result: Annotated[
        str | None,
        typer.Option(
            metavar="RESULT",
            help="yes, no or unclear; of a verdict supported, refuted, inconclusive or abandoned.",
        ),
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who made a comment, if they want to be named.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The time that a comment refers to, as in the recording."),
    ] = None,
    exploratory: Annotated[
        bool,
        typer.Option(
            "--exploratory", help="Of a question: looking around, so that the audit does not scold."
        ),
    ] = False,
    create: Annotated[bool, typer.Option("--create", help="Make the journal if there is none.")] = False,
    journal: Path_ = None,
    as_json: Json = False,
) -> None:
    """Write one record."""
    record = _record(sort, text, probability, seen, result, person, at, exploratory)
    with opened(journal, write=True, create=create) as log:
        subject = None if about is None else log.entry(about).id
        if sort == "rival":
            from dataclasses import replace

            from unweave.core.errors import InputError
            from unweave.journal import Hypothesis

            assert isinstance(record, Hypothesis)
            if subject is None:
                raise InputError(
                    wanted="--about, the hypothesis that the rival competes with",
                    got="none",
                    remedy="name it with --about ID",
                )
            record = replace(record, rival_of=subject)
        entry = log.add(record, about=subject)
        path = log.path
    _told(entry, path, as_json)


def comments(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help='JSON: [{"text": "…", "person": "…", "at": 12.5}].')
    ],
    about: Annotated[str | None, typer.Option(metavar="ID", help="The entry that they are about.")] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="The session whose time they count.")
    ] = None,
    journal: Path_ = None,
) -> None:
    """Import readers' comments."""
    from unweave.journal.comments import import_comments

    with opened(journal, write=True) as log:
        subject = None if about is None else log.entry(about).id
        written = import_comments(log, file, about=subject, session=session)
        typer.echo(f"{len(written)} comments written to {log.path}")


def adopt(
    comment: Annotated[str, typer.Argument(metavar="ID", help="The comment's id or number.")],
    rival_of: Annotated[
        str, typer.Option("--rival-of", metavar="ID", help="The hypothesis it competes with.")
    ],
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The rival in your words.")] = None,
    journal: Path_ = None,
    as_json: Json = False,
) -> None:
    """Take a reader's comment up as a rival hypothesis, with credit."""
    from unweave.journal.comments import adopt as adopted

    with opened(journal, write=True) as log:
        entry, path = adopted(log, comment, rival_of=rival_of, text=text), log.path
    _told(entry, path, as_json)


def _told(entry: Entry, path: Path, as_json: bool) -> None:
    if as_json:
        print_json(
            {"seq": entry.seq, "id": entry.id, "kind": entry.kind, "body": entry.body, "journal": str(path)}
        )
    else:
        typer.echo(f"{entry.kind} {entry.seq} ({entry.id}) written to {path}")


def _record(
    sort: str,
    text: str,
    probability: str | None,
    seen: str,
    result: str | None,
    person: str | None,
    at: str | None,
    exploratory: bool,
) -> Record:
    from unweave import journal
    from unweave.core.errors import InputError, nearest

    given = {
        "--probability": probability is not None,
        "--seen": bool(seen),
        "--result": result is not None,
        "--person": person is not None,
        "--at": at is not None,
        "--exploratory": exploratory,
    }
    wanted = {
        "prediction": {"--probability", "--seen"},
        "outcome": {"--result"},
        "verdict": {"--result"},
        "comment": {"--person", "--at"},
        "question": {"--exploratory"},
    }.get(sort, set[str]())
    stray = [name for name, there in given.items() if there and name not in wanted]
    if stray:
        raise InputError(
            wanted=f"options that {sort} has" if wanted else f"no such option for {sort}",
            got=", ".join(stray),
            remedy=f"it has {', '.join(sorted(wanted))}" if wanted else "leave it out",
        )
    match sort:
        case "question":
            return journal.Question(text, exploratory)
        case "hypothesis" | "rival":
            return journal.Hypothesis(text)
        case "prediction":
            number = None if probability is None else journal.probability_of(probability)
            return journal.Prediction(text, number, seen_so_far=seen)
        case "outcome":
            return journal.Outcome(result or "", note=text)
        case "verdict":
            return journal.Judgement(result or "", text)
        case "confusing" | "idea" | "next":
            return journal.SurfaceItem(sort, text)
        case "resolved":
            return journal.Resolved(text)
        case "note":
            return journal.Note(text)
        case "comment":
            return journal.Comment(text, person, at)
        case _:
            raise InputError(
                wanted=f"one of {', '.join(SORTS)}",
                got=repr(sort),
                remedy=f"near it: {nearest(sort, SORTS, 1)}",
            )
