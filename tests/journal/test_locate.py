"""Which journal is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from unweave.journal import locate


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("UNWEAVE_JOURNAL", raising=False)


@pytest.mark.parametrize("mark", ["journal.db", "pyproject.toml", ".git"])
def test_the_nearest_project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / mark).touch()
    monkeypatch.chdir(inner)
    assert locate() == tmp_path / "journal.db"
    (tmp_path / "a" / "pyproject.toml").touch()  # a nearer one
    assert locate() == tmp_path / "a" / "journal.db"


def test_the_argument_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNWEAVE_JOURNAL", str(tmp_path / "named.db"))
    assert locate() == tmp_path / "named.db"
    assert locate("other.db") == tmp_path / "other.db"
    monkeypatch.setenv("UNWEAVE_JOURNAL", "")  # set, but to nothing
    (tmp_path / ".git").touch()
    assert locate() == tmp_path / "journal.db"


def test_a_folder_means_the_journal_in_it(tmp_path: Path):
    assert locate(tmp_path) == tmp_path / "journal.db"
