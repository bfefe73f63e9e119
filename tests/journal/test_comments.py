"""Readers' comments, and what is made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import Comment, Hypothesis, Journal, Note, adopt, import_comments


def test_a_comment_becomes_a_credited_rival(journal: Journal):
    hypothesis = journal.add(Hypothesis("It counts."))
    named = journal.add(Comment("It copies.", "Ada", 754.0))
    unnamed = journal.add(Comment("It is noise."))
    rivals = [adopt(journal, comment.id, rival_of=hypothesis.id) for comment in (named, unnamed)]
    assert [rival.body for rival in rivals] == [
        {"text": "It copies.", "rival_of": hypothesis.id, "credit": "Ada"},
        {"text": "It is noise.", "rival_of": hypothesis.id, "credit": "a reader"},
    ]
    taken = [*journal.entries("adoption")]
    assert [(entry.about, entry.body) for entry in taken] == [
        (comment.id, {"rival": rival.id}) for comment, rival in zip((named, unnamed), rivals, strict=True)
    ]


def test_what_cannot_be_adopted_is_refused(journal: Journal):
    hypothesis, note = journal.add(Hypothesis("h")), journal.add(Note("n"))
    comment = journal.add(Comment("c"))
    with pytest.raises(InputError, match="wanted a comment whose text is there; got entry 2, a note"):
        adopt(journal, note.id, rival_of=hypothesis.id)
    with pytest.raises(InputError, match="wanted a hypothesis whose text is there; got entry 2, a note"):
        adopt(journal, comment.id, rival_of=note.id)
    adopt(journal, comment.id, rival_of=hypothesis.id)
    with pytest.raises(InputError, match="wanted a comment to be taken up once"):
        adopt(journal, comment.id, rival_of=hypothesis.id)


def test_comments_are_imported_all_or_none(journal: Journal, tmp_path: Path):
    file = tmp_path / "comments.json"
    file.write_text(json.dumps([{"text": "a", "person": "Ada", "at": 12.5}, {"text": "b"}]))
    assert [entry.body for entry in import_comments(journal, file)] == [
        {"text": "a", "person": "Ada", "at": 12.5},
        {"text": "b"},
    ]
    for content, said in (
        ('[{"text": "c"}, {"name": "x"}]', "wanted the parts of a comment; got 'name'"),
        ('{"text": "c"}', "wanted a list of comments"),
        ("not JSON", "wanted comments as JSON"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=said):
            import_comments(journal, file)
    assert len([*journal.entries("comment")]) == 2
