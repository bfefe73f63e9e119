"""Large outputs: beside the journal, whole, under the hash of what they hold."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.journal import Journal, JournalDamaged, JournalFull
from unweave.journal.blobs import Blobs, named_in


def test_a_blob_comes_back_and_lies_under_its_hash(tmp_path: Path):
    blobs = Blobs(tmp_path / "journal.db.blobs")
    blob = blobs.put(b"x" * 100_000)
    digest = hashlib.sha256(b"x" * 100_000).hexdigest()
    assert (blob.sha256, blob.size, blob.head) == (digest, 100_000, "")
    assert blobs.get(digest) == b"x" * 100_000
    assert [*blobs] == [digest]
    assert (tmp_path / "journal.db.blobs" / digest[:2] / digest).is_file()


def test_a_text_shows_its_ends(tmp_path: Path):
    text = "é" * 3000 + "middle" + "z" * 3000
    blob = Blobs(tmp_path / "b").put(text.encode(), "text/plain")
    assert blob.head == "é" * 2048
    assert blob.tail == "z" * 2048
    assert {*blob.to_body()} == {"blob", "size", "mime", "head", "tail"}


def test_a_changed_blob_is_not_handed_out(tmp_path: Path):
    blobs = Blobs(tmp_path / "b")
    blob = blobs.put(b"abc")
    blobs.path(blob.sha256).write_bytes(b"abd")
    with pytest.raises(JournalDamaged, match="no longer holds what its name says"):
        blobs.get(blob.sha256)


@pytest.mark.parametrize(
    ("name", "said"), [("../../etc/passwd", "wanted a SHA-256"), ("0" * 64, "no such file")]
)
def test_a_wrong_name_is_refused(tmp_path: Path, name: str, said: str):
    with pytest.raises(InputError, match=said):
        Blobs(tmp_path / "b").get(name)


def test_names_are_found_however_deep():
    assert [*named_in({"a": [{"blob": "x", "more": {"blob": "y"}}], "blob": 3})] == ["x", "y"]


def test_only_old_strays_are_swept(tmp_path: Path):
    blobs = Blobs(tmp_path / "b")
    named, young, old = (blobs.put(data).sha256 for data in (b"1", b"2", b"3"))
    for name in (named, old):
        os.utime(blobs.path(name), (time.time() - 2 * 24 * 3600,) * 2)
    assert blobs.sweep(frozenset({named})) == [old]
    assert {*blobs} == {named, young}


def test_a_full_disk_leaves_no_half_a_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    blobs = Blobs(tmp_path / "b")
    monkeypatch.setattr("unweave.journal.blobs.os.replace", full)
    with pytest.raises(JournalFull, match=r"No space left on device.*nothing that was committed is lost"):
        blobs.put(b"x")
    assert [*blobs] == []
    assert not [path for path in (tmp_path / "b").rglob("*") if path.is_file()]


def test_a_blob_is_flushed_no_later_than_the_next_durable_entry(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    flushed: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(
        "unweave.journal.blobs.os.fsync", lambda handle: (flushed.append(handle), fsync(handle))
    )
    blob = journal.blobs.put(b"x", durable=False)
    journal.append("output", {"data": blob.to_body()}, durable=False)
    assert flushed == []
    journal.append("note", {"text": "y"})
    assert len(flushed) == 1
    journal.append("note", {"text": "z"})
    assert len(flushed) == 1
    journal.blobs.put(b"w")
    assert len(flushed) == 2
