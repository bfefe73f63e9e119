"""Which disk the file lies on, and how it is kept there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from unweave.journal import Journal, Note, database, verify
from unweave.journal.disks import file_system, is_network

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/data /data nfs4 rw 0 0
/dev/vdb /data/me/local xfs rw 0 0
drive /content/drive fuse.drive rw 0 0
//nas/my\\040files /mnt/my\\040files cifs rw 0 0
/dev/sdc /mnt/usb fuseblk rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/tmp/x", "ext4", False),
        ("/data/me/work", "nfs4", True),
        ("/data/me/local/work", "xfs", False),
        ("/data/me/localised", "nfs4", True),  # a name that begins alike
        ("/content/drive/MyDrive", "fuse.drive", True),
        ("/mnt/my files/a", "cifs", True),
        ("/mnt/usb/a", "fuseblk", False),
    ],
)
def test_the_innermost_mount_counts(tmp_path: Path, path: str, kind: str, network: bool):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert file_system(Path(path), mounts) == kind
    assert is_network(kind) == network


def test_where_nothing_tells_the_disk_is_taken_for_a_local_one(tmp_path: Path):
    assert file_system(tmp_path, tmp_path / "none") is None
    assert not is_network(None)


def journal_mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_local_disk_gets_a_write_ahead_log(tmp_path: Path):
    with Journal.open(tmp_path / "journal.db", create=True) as journal:
        assert journal.mode.wal
        assert str(journal.mode) == "write-ahead log on a local disk"
        assert journal_mode(journal.path) == "wal"


def test_a_network_disk_gets_the_safe_mode_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "journal.db"
    with Journal.open(path, create=True) as journal:  # begun on a local disk, then moved
        journal.add(Note("x"))
    monkeypatch.setattr(database, "file_system", lambda _: "nfs4")
    with Journal.open(path) as journal:
        assert "safe mode, since nfs4 is a network file system" in str(journal.mode)
        assert journal_mode(path) == "delete"
        assert journal.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        journal.append("output", {}, durable=False)
        assert journal.connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # not even then less
        assert verify(journal).ok
        assert not path.with_name("journal.db-wal").exists()


def test_one_may_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "file_system", lambda _: "nfs4")
    with Journal.open(tmp_path / "a.db", create=True, safe=False) as journal:
        assert journal.mode.wal
    with Journal.open(tmp_path / "b.db", create=True, safe=True) as journal:
        assert str(journal.mode) == "safe mode, as asked: rollback journal, flushed at every commit"


def test_records_are_flushed_and_the_recorders_stream_is_not(tmp_path: Path):
    with Journal.open(tmp_path / "journal.db", create=True) as journal:
        levels = []
        for durable in (True, False, True):
            journal.append("output", {}, durable=durable)
            levels.append(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
        assert levels == [2, 1, 2]  # FULL, NORMAL, FULL
