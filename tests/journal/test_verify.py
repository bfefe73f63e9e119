"""What verify finds, through an anchor and without one, and what it says is proved."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import (
    Anchor,
    Evidence,
    Experiment,
    Head,
    Hypothesis,
    Journal,
    Note,
    Outcome,
    Prediction,
    anchor_in_git,
    from_git,
    read_anchors,
    verify,
)
from unweave.journal.entries import GENESIS, canonical, chained, salted


def written(journal: Journal, n: int = 6) -> None:
    for number in range(n):
        journal.add(Note(f"note {number}"))


def behind_its_back(path: Path, *statements: str) -> None:
    """Change the file as its owner could: triggers dropped."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def rewrite(path: Path, change: dict[int, str], keep: int | None = None) -> None:
    """Change bodies, drop the tail after `keep`, and recompute the whole chain: a careful forger's work."""
    behind_its_back(
        path, f"DELETE FROM bodies WHERE seq > {keep}", f"DELETE FROM entries WHERE seq > {keep}"
    ) if keep else None
    behind_its_back(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        previous = GENESIS
        for row in connection.execute(
            "SELECT e.seq, id, kind, session, about, time, salt, body FROM entries AS e JOIN bodies USING (seq) ORDER BY 1"
        ).fetchall():
            *fields, salt, body = row
            if row[0] in change:
                body = canonical({"text": change[row[0]]})
                connection.execute("UPDATE bodies SET body = ? WHERE seq = ?", (body, row[0]))
            digest = salted(salt, body)
            hashed = chained(*fields, digest, previous)
            connection.execute(
                "UPDATE entries SET body_sha256 = ?, previous = ?, hash = ? WHERE seq = ?",
                (digest, previous, hashed, row[0]),
            )
            previous = hashed


def sorts(journal: Journal, *anchors: Anchor) -> list[tuple[str, int | None]]:
    return [(finding.sort, finding.seq) for finding in verify(journal, anchors).findings]


def test_an_untouched_journal_verifies(journal: Journal):
    written(journal)
    checked = verify(journal)
    assert checked.ok
    assert checked.head == journal.head
    assert checked.proved[0].startswith("The 6 entries are chained without a gap")
    assert checked.not_proved[0].startswith("That nothing was rewritten or cut off at the end")


def test_an_empty_journal_verifies(journal: Journal):
    assert verify(journal).ok


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (['UPDATE bodies SET body = \'{"text":"other"}\' WHERE seq = 3'], [("body", 3)]),
        (["UPDATE bodies SET body = 'no JSON' WHERE seq = 3"], [("body", 3)]),
        (["UPDATE entries SET time = '2020-01-01T00:00:00.000000Z' WHERE seq = 3"], [("changed", 3)]),
        (["DELETE FROM bodies WHERE seq = 3", "DELETE FROM entries WHERE seq = 3"], [("missing", 4)]),
        (["DELETE FROM bodies WHERE seq = 3"], [("body", 3)]),
        (["DELETE FROM entries WHERE seq = 6"], [("missing", None)]),  # its body was forgotten
        (  # two change places
            [
                *("UPDATE entries SET seq = 99 WHERE seq = 3", "UPDATE bodies SET seq = 99 WHERE seq = 3"),
                *("UPDATE entries SET seq = 3 WHERE seq = 4", "UPDATE bodies SET seq = 3 WHERE seq = 4"),
                *("UPDATE entries SET seq = 4 WHERE seq = 99", "UPDATE bodies SET seq = 4 WHERE seq = 99"),
            ],
            [("order", 3), ("changed", 3), ("order", 4), ("changed", 4), ("order", 5)],
        ),
        (["UPDATE entries SET kind = 'purge', about = id WHERE seq = 3"], [("changed", 3), ("body", 3)]),
    ],
    ids=["body", "no JSON", "time", "removed", "body removed", "half a tail", "swapped", "false tombstone"],
)
def test_changes_are_found_without_an_anchor(journal: Journal, statements: list[str], found: list):
    written(journal)
    behind_its_back(journal.path, *statements)
    assert sorts(journal) == found
    assert verify(journal).proved == ()


def test_a_rewritten_chain_and_a_cut_tail_are_found_only_through_an_anchor(journal: Journal):
    written(journal)
    anchor = Anchor(journal.head, "a friend")
    rewrite(journal.path, {2: "what I should have said"})
    assert verify(journal).ok  # nothing in the file itself can tell
    assert sorts(journal, anchor) == [("anchor", 6)]
    assert "the chain was rewritten" in verify(journal, [anchor]).findings[0].text


def test_a_cut_tail(journal: Journal):
    written(journal)
    anchor = Anchor(journal.head, "a friend")
    rewrite(journal.path, {}, keep=4)
    assert verify(journal).ok
    assert sorts(journal, anchor) == [("anchor", None)]
    assert "its tail was cut off" in verify(journal, [anchor]).findings[0].text
    # Grown again to the old length, it is another chain.
    written(journal, 2)
    assert verify(journal).ok
    assert sorts(journal, anchor) == [("anchor", 6)]


def test_what_an_anchor_proves_and_what_it_does_not(journal: Journal):
    written(journal)
    anchor = Anchor(journal.head, "a friend")
    written(journal, 1)
    checked = verify(journal, [anchor])
    assert checked.ok
    assert checked.proved[1].startswith(
        "Entries 1 to 6 are the ones that were there when the head was anchored (a friend)"
    )
    assert checked.not_proved[0].startswith("After entry 6, that nothing was rewritten")


def test_a_prediction_after_its_evidence_is_told_and_breaks_nothing(journal: Journal):
    claim = journal.add(Hypothesis("it counts"))
    run = journal.add(Experiment("count"), about=claim.id)
    before = journal.add(Prediction("below 1", 0.9), about=run.id)
    journal.add(Evidence("0.5", experiment=run.id), about=before.id)
    late = journal.add(Prediction("below 2", 0.99, seen_so_far="it was 0.5"), about=run.id)
    journal.add(Evidence("0.6"), about=claim.id)
    unsaid = journal.add(Prediction("below 3"), about=claim.id)
    journal.add(Prediction("the other head too", seen_so_far="this head's 0.6"), about=claim.id)
    checked = verify(journal)
    assert checked.ok
    assert [finding.seq for finding in checked.late] == [late.seq, unsaid.seq]
    assert "came after evidence on the same: entry 4" in checked.late[0].text


def test_an_outcome_from_before_its_prediction_is_found_though_the_chain_is_whole(journal: Journal):
    prediction = journal.add(Prediction("x"))
    journal.add(Note("y"))
    journal.add(Outcome("yes"), about=prediction.id)
    # The forger learns the result, and puts a prediction where the note stood.
    behind_its_back(
        journal.path,
        "UPDATE entries SET id = 'was' WHERE seq = 1",
        f"UPDATE entries SET id = '{prediction.id}', kind = 'prediction' WHERE seq = 3",
        f"UPDATE entries SET kind = 'outcome', about = '{prediction.id}' WHERE seq = 2",
    )
    rewrite(journal.path, {})
    assert sorts(journal) == [("order", 2)]
    assert "was not there before it" in verify(journal).findings[0].text


def test_a_second_outcome_behind_the_rules_is_found(journal: Journal):
    prediction = journal.add(Prediction("x"))
    journal.add(Outcome("no"), about=prediction.id)
    journal.add(Note("y"))
    behind_its_back(
        journal.path, f"UPDATE entries SET kind = 'outcome', about = '{prediction.id}' WHERE seq = 3"
    )
    rewrite(journal.path, {})
    assert sorts(journal) == [("order", 3)]


def test_blobs_are_hashed_too(journal: Journal):
    kept, lost, changed = (journal.blobs.put(data) for data in (b"1", b"2", b"3"))
    for blob in (kept, lost, changed):
        journal.append("output", {"data": blob.to_body()})
    journal.blobs.put(b"stray")
    journal.blobs.remove(lost.sha256)
    journal.blobs.path(changed.sha256).write_bytes(b"4")
    assert sorts(journal) == [("blob", 2), ("blob", 3)]
    assert "1 blob(s) belong to no entry" in verify(journal).notes[0]
    assert verify(journal, blobs=False).ok


def test_a_damaged_page_is_a_finding_and_no_crash(tmp_path: Path):
    path = tmp_path / "journal.db"
    with Journal.open(path, create=True) as journal:
        for number in range(200):
            journal.append("output", {"text": "x" * 300, "number": number}, durable=False)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\x17" * 4096
    path.write_bytes(data)
    with Journal.open(path, read_only=True) as journal:
        checked = verify(journal)
        assert not checked.ok
        assert {finding.sort for finding in checked.findings} & {"file"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "with space"
    folder.mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    (folder / "staged.txt").write_text("x")
    subprocess.run(["git", "-C", folder, "add", "staged.txt"], check=True)
    return folder


@pytest.mark.parametrize("how", ["note", "commit"])
def test_git_keeps_the_head(repository: Path, how: str):
    with Journal.open(repository / "journal.db", create=True) as journal:
        written(journal)
        first = anchor_in_git(journal, how)
        assert first.head.seq == 6
        assert next(journal.entries("anchor")).body == {
            "seq": 6,
            "hash": first.head.hash,
            "where": first.where,
        }
        anchor_in_git(journal, how)
        assert [anchor.head.seq for anchor in sorted(from_git(journal), key=lambda a: a.head.seq)] == [6, 7]
        assert verify(journal, from_git(journal)).ok
        rewrite(journal.path, {2: "other"})
        assert sorts(journal) == []
        assert {seq for _, seq in sorts(journal, *from_git(journal))} == {6, 7}
    status = subprocess.run(
        ["git", "-C", repository, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
    )
    assert status.stdout == "A  staged.txt\n"  # what the user had staged is still staged, and not committed


def test_another_journal_of_the_repository_is_not_taken_for_this_one(repository: Path):
    with Journal.open(repository / "journal.db", create=True) as journal:
        written(journal)
        anchor_in_git(journal, "note")
    with Journal.open(repository / "other.db", create=True) as other:
        written(other, 1)
        assert from_git(other) == []


def test_what_cannot_be_anchored_is_refused(journal: Journal, repository: Path):
    with pytest.raises(InputError, match="wanted an entry to anchor"):
        anchor_in_git(journal, "note")
    written(journal, 1)
    with pytest.raises(InputError, match="wanted note or commit as the anchor; got 'tag'"):
        anchor_in_git(journal, "tag")
    with pytest.raises(InputError, match="wanted a git repository with a commit around the journal"):
        anchor_in_git(journal, "note")
    assert from_git(journal) == []


def test_heads_are_read_from_a_line_or_an_export(journal: Journal, tmp_path: Path):
    written(journal)
    export = tmp_path / "export.html"
    export.write_text(f"<p>journal head {journal.head}</p>")
    assert read_anchors(str(journal.head))[0].head == journal.head
    assert read_anchors(str(export))[0].head == journal.head
    assert Head.parse(str(journal.head)) == journal.head
    with pytest.raises(InputError, match="wanted a head as SEQ:HASH, or a file with one"):
        read_anchors("12:abc")
