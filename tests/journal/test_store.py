"""The log: appended, found, kept apart between threads, processes and forks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import Head, Journal, JournalReadOnly
from unweave.journal import search as full_text
from unweave.journal.entries import canonical, fresh_id


def test_an_entry_comes_back_as_it_was_written(journal: Journal):
    body = {"text": "naïve \ud83d café", "numbers": [1, 2.5, None, True], "deep": {"b": 1, "a": "\x00"}}
    written = journal.append("why", body, session="s1", about="q1")
    assert journal.entry(written.id) == written
    assert (written.seq, written.kind, written.session, written.about) == (1, "why", "s1", "q1")
    assert written.body == body
    assert written.when.utcoffset() is not None
    assert journal.head == Head(1, written.hash)


def test_entries_are_chained(journal: Journal):
    first, second = (journal.append("note", {"text": text}) for text in "ab")
    assert first.previous == "0" * 64
    assert second.previous == first.hash


def test_entries_are_chosen_by_kind_session_subject_and_number(journal: Journal):
    journal.append("question", {"text": "why?"}, session="s1")
    journal.append("why", {"text": "x"}, session="s1", about="q")
    journal.append("why", {"text": "y"}, session="s2", about="q")

    def numbers(**chosen: object) -> list[int]:
        return [entry.seq for entry in journal.entries(**chosen)]  # type: ignore[arg-type]

    assert numbers() == [1, 2, 3]
    assert numbers(kind="why") == [2, 3]
    assert numbers(kind=("question", "why"), session="s1") == [1, 2]
    assert numbers(about="q", after=2) == [3]


def test_a_long_log_is_walked_page_by_page_and_misses_nothing(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("unweave.journal.store.PAGE", 3)
    with journal.transaction():
        for number in range(9):  # a whole number of pages
            journal.append("output", {"number": number})
    assert [entry.body["number"] for entry in journal.entries()] == list(range(9))  # type: ignore[index]


def test_an_entry_is_found_by_number_and_by_the_end_of_its_id(journal: Journal):
    entry = journal.append("note", {"text": "x"})
    assert journal.entry("1") == journal.entry("#1") == journal.entry(entry.id[-5:]) == entry
    with pytest.raises(
        InputError, match=r"wanted the id of one entry in journal.db; got '#7', which none has"
    ):
        journal.entry("#7")


def test_ids_sort_by_time_and_differ():
    made = [fresh_id() for _ in range(2000)]
    assert len(set(made)) == 2000
    assert {len(made_id) for made_id in made} == {14}
    assert (clocks := [made_id[:9] for made_id in made]) == sorted(clocks)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("nte", {}, "wanted a kind of journal entry; got 'nte'; near it: note"),
        ("output", {"x": float("nan")}, "wanted JSON values in the body of an entry"),
        ("output", {"x": object()}, "not JSON serializable"),
        ("output", {"x": [{1: 2}]}, "wanted text as keys in the body of an entry; got 1; write str(key)"),
    ],
)
def test_what_cannot_be_kept_is_refused_whole(journal: Journal, kind: str, body: dict, said: str):
    with pytest.raises(InputError) as told:
        journal.append(kind, body)
    assert said in str(told.value)
    assert journal.head.seq == 0


def test_a_transaction_is_kept_whole_or_not_at_all(journal: Journal):
    with journal.transaction():
        journal.append("note", {"text": "a"})
        with journal.transaction():
            journal.append("note", {"text": "b"})
    try:
        with journal.transaction():
            journal.append("note", {"text": "never"})
            raise KeyError
    except KeyError:
        pass
    assert journal.head.seq == 2
    assert journal.search("never") == []


def test_the_database_itself_refuses_changes(journal: Journal):
    journal.append("note", {"text": "a"})
    with sqlite3.connect(journal.path) as other:
        for statement, said in (
            ("DELETE FROM entries", "never deleted"),
            ("UPDATE entries SET kind = 'x'", "never changed"),
            ("UPDATE bodies SET body = '{}'", "never changed"),
            ("DELETE FROM bodies", "only by a purge"),
        ):
            with pytest.raises(sqlite3.IntegrityError, match=said):
                other.execute(statement)
    other.close()


def test_threads_may_share_it(journal: Journal):
    def write(name: str) -> None:
        for number in range(20):
            journal.append("output", {"thread": name, "number": number}, durable=False)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = [*journal.entries()]
    assert [entry.seq for entry in entries] == list(range(1, 61))
    for name in "abc":
        assert [e.body["number"] for e in entries if e.body and e.body["thread"] == name] == list(range(20))


def test_processes_may_write_at_once(journal: Journal):
    script = (
        "import sys; from unweave.journal import Journal\n"
        "with Journal.open(sys.argv[1]) as journal:\n"
        "    for number in range(25): journal.append('output', {'number': number}, durable=False)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, journal.path]) for _ in range(2)]
    for number in range(25):
        journal.append("output", {"number": number}, durable=False)
    assert [writer.wait() for writer in writers] == [0, 0]
    entries = [*journal.entries()]
    assert [entry.seq for entry in entries] == list(range(1, 76))
    assert all(later.previous == earlier.hash for earlier, later in pairwise(entries))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_opens_it_anew(journal: Journal):
    journal.append("note", {"text": "parent"})
    child = os.fork()
    if child == 0:
        try:
            journal.append("note", {"text": "child"})
            journal.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    journal.append("note", {"text": "parent again"})
    assert [entry.body["text"] for entry in journal.entries()] == ["parent", "child", "parent again"]  # type: ignore[index]


def test_reading_only_writes_nothing(journal: Journal):
    journal.append("note", {"text": "a"})
    with Journal.open(journal.path, read_only=True) as reader:
        assert [entry.seq for entry in reader.entries()] == [1]
        journal.append("note", {"text": "b"})  # a reader holds no writer up
        assert reader.head.seq == 2
        with pytest.raises(JournalReadOnly, match="opened to read; open it without read_only"):
            reader.append("note", {"text": "c"})
        with pytest.raises(JournalReadOnly, match="opened to read"):
            reader.blobs.put(b"x")


def test_a_journal_is_never_made_by_chance(tmp_path: Path):
    with pytest.raises(InputError, match="which is not there; start a recording, open it with create=True"):
        Journal.open(tmp_path / "journal.db")
    with pytest.raises(InputError, match="wanted a folder for the journal"):
        Journal.open(tmp_path / "no" / "journal.db", create=True)
    assert not [*tmp_path.iterdir()]


def test_a_closed_journal_says_so(journal: Journal):
    journal.close()
    with pytest.raises(InputError, match="closed; open it again"):
        journal.append("note", {"text": "a"})


def test_text_is_found_wherever_it_stands(journal: Journal):
    journal.append("step_started", {"code": "model.run_with_cache(tokens)"})
    journal.append(
        "output", {"data": {"text/html": "<b class='needle'>Induction</b> heads", "image/png": "needle"}}
    )
    journal.append("note", {"text": "The ablation of layer one hurts"})
    assert [hit.entry.seq for hit in journal.search("run_with_cache")] == [1]
    assert [hit.entry.seq for hit in journal.search("induction heads")] == [2]
    assert [hit.entry.seq for hit in journal.search('"layer one"')] == [3]
    assert journal.search('"one layer"') == []
    assert [hit.entry.seq for hit in journal.search("layer -> one")] == [3]  # signs alone stand for nothing
    assert journal.search("needle") == []  # in pictures and tags nobody looks
    assert [hit.entry.seq for hit in journal.search("abla")] == [3]
    assert "ablation of layer" in journal.search("LAYER")[0].around
    with pytest.raises(InputError, match="wanted a word to search for"):
        journal.search(' "" ')


def test_without_fts5_the_log_is_walked_and_indexed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr(full_text, "has_fts5", lambda _: False)
        with Journal.open(tmp_path / "journal.db", create=True) as journal:
            journal.append("note", {"text": "Induction heads"})
            journal.append("note", {"text": "Reduction"})
            assert [hit.entry.seq for hit in journal.search("duction")] == [
                2,
                1,
            ]  # latest first, parts of words
    with Journal.open(tmp_path / "journal.db") as journal:
        assert [hit.entry.seq for hit in journal.search("induc")] == [1]
        assert journal.search("duction") == []  # the index finds beginnings of words
        with journal.reading() as connection:
            assert not full_text.is_behind(connection)


def tables(journal: Journal) -> dict[str, list[tuple]]:
    """Everything that is made from the log."""
    with journal.reading() as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('entries', 'bodies', 'meta')"
        )
        found = {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in names.fetchall()
            if not name.startswith("words")
        }
        connection.execute(
            "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'words', 'instance')"
        )
        found["words"] = sorted(
            connection.execute("SELECT term, doc, offset FROM temp.vocabulary").fetchall()
        )
        connection.execute("DROP TABLE temp.vocabulary")
    return found


def test_the_tables_made_from_the_log_can_be_made_again(journal: Journal):
    blob = journal.blobs.put(b"large", "text/plain")
    journal.append("note", {"text": "one two"})
    journal.append("output", {"data": {"text/plain": blob.to_body()}})
    before = tables(journal)
    assert before["words"]
    assert before["blob_uses"] == [(blob.sha256, 2)]
    with journal.transaction() as connection:
        connection.execute("DELETE FROM blob_uses")
        connection.execute("INSERT INTO words (rowid, text) VALUES (9, 'stray')")
    assert tables(journal) != before
    journal.rebuild()
    assert tables(journal) == before


def test_canonical_json_is_one_text_for_one_value():
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert canonical({"a": "\ud800"}) == '{"a":"\\ud800"}'
