"""`unweave session`, as it is typed."""

import json
from pathlib import Path

import pytest

from tests.recorder.exports.planted import example, journal_in
from unweave.cli.main import main


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with journal_in(tmp_path) as made:
        example(made)
    monkeypatch.setenv("UNWEAVE_JOURNAL", str(tmp_path / "journal.db"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["session", *arguments]) == 0
    return capsys.readouterr().out


def test_list_show_and_search(journal: Path, capsys: pytest.CaptureFixture[str]):
    listed = told(capsys, "list")
    assert "a <b>session</b>" in listed
    facts = json.loads(told(capsys, "list", "--json"))[0]
    assert (facts["step_count"], facts["failed"], facts["state"]) == (6, 1, "stopped")
    shown = told(capsys, "show", "last")
    assert shown.index("Prediction P1, 70%") < shown.index("root = math.sqrt(x)")
    assert "private" in shown
    found = json.loads(told(capsys, "search", "1.4142135623730951", "--json"))
    assert [(hit["cell"], hit["kind"]) for hit in found] == [(2, "output")]
    assert "nothing found" in told(capsys, "search", "zebra")


@pytest.mark.parametrize(
    ("to", "holds"),
    [
        ("notebook", '"nbformat": 4'),
        ("html", "<!doctype html>"),
        ("markdown", "## Predictions"),
        ("json", '"unweave.session"'),
    ],
)
def test_every_export_is_written(journal: Path, capsys: pytest.CaptureFixture[str], to: str, holds: str):
    out = journal / "exported"
    assert f"wrote {out}" in told(capsys, "export", "last", "--to", to, "--out", str(out))
    text = out.read_text()
    assert holds in text
    assert "private words" not in text
    assert "unweave journal" in text or json.loads(told(capsys, "list", "--json"))[0]["id"] in text


def test_review_and_import(journal: Path, capsys: pytest.CaptureFixture[str]):
    assert "Left out, as private: cells 4" in told(capsys, "review", "last").replace("\n", " ")
    out = journal / "old.ipynb"
    told(capsys, "export", "last", "--to", "notebook", "--out", str(out))
    assert "imported old.ipynb as session" in told(capsys, "import", str(out))
    assert json.loads(told(capsys, "list", "--json"))[-1]["sort"] == "import"


def test_mistakes_are_told_in_a_line(journal: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["session", "show", "nothing"]) == 2
    assert "wanted the id of one session" in capsys.readouterr().err.lower()
    assert main(["session", "export", "last", "--to", "pdf", "--out", str(journal / "x")]) == 2
    assert "notebook, html, markdown, json" in capsys.readouterr().err
    assert not (journal / "x").exists()
