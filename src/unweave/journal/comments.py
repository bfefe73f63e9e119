"""Readers' comments: written down with the time that they refer to, and taken up as rivals with credit."""

from __future__ import annotations

import json
from pathlib import Path

from unweave.core.errors import InputError
from unweave.journal.entries import Entry
from unweave.journal.kinds import a_kind
from unweave.journal.records import Adoption, Comment, Hypothesis
from unweave.journal.store import Journal

UNNAMED = "a reader"


def adopt(journal: Journal, comment: str, *, rival_of: str, text: str | None = None) -> Entry:
    """Take a comment up as a rival of a hypothesis, credited to its reader, or to "a reader" where unnamed.

    Args:
        journal: open to write.
        comment: its id.
        rival_of: the id of the hypothesis that it competes with.
        text: the rival in your words; by default the comment's own.

    Returns:
        The rival's entry; another one says from which comment it came.

    Raises:
        InputError: for an id of something else, or a comment that was taken up before.
    """
    found, rivalled = journal.entry(comment), journal.entry(rival_of)
    for entry, kind in ((found, "comment"), (rivalled, "hypothesis")):
        if entry.kind != kind or entry.body is None:
            raise InputError(
                wanted=f"a {kind} whose text is there",
                got=f"entry {entry.seq}, {'purged' if entry.body is None else a_kind(entry.kind)}",
                remedy=f"look for it with `unweave journal list --kind {kind}`",
            )
    before = next(journal.entries("adoption", about=found.id), None)
    if before is not None:
        raise InputError(
            wanted="a comment to be taken up once",
            got=f"entry {found.seq}, taken up at {before.time}",
            remedy="name the rival that came of it",
        )
    body = found.body or {}
    credit = str(body.get("person") or UNNAMED)
    with journal.transaction():
        hypothesis = Hypothesis(text or str(body["text"]), rival_of=rivalled.id, credit=credit)
        rival = journal.add(hypothesis, about=rivalled.id, session=rivalled.session)
        journal.add(Adoption(rival.id), about=found.id)
    return rival


def import_comments(
    journal: Journal, path: Path, *, about: str | None = None, session: str | None = None
) -> list[Entry]:
    """Write comments from a JSON file: a list of {"text": …, "person": …, "at": …}, the latter two optional.

    Args:
        journal: open to write.
        path: the file.
        about: the id of the entry that they are about.
        session: the id of the session whose time `at` counts, in seconds from its start.

    Raises:
        InputError: for a file that holds anything else; nothing is written then.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            wanted=f"comments as JSON in {path}",
            got=str(error),
            remedy='write [{"text": "…", "person": "…"}]',
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            wanted=f"a list of comments in {path}",
            got=type(rows).__name__,
            remedy='write [{"text": "…", "person": "…", "at": 12.5}]',
        )
    comments = [Comment.from_body(row) for row in rows]
    with journal.transaction():
        return [journal.add(comment, about=about, session=session) for comment in comments]
