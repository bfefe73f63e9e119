"""The recorded example that ships with the project."""

from importlib.resources import files
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from unweave.cli.main import main
from unweave.journal import Journal, verify
from unweave.journal.sessions import session
from unweave.recorder.exports.notebook import notebook
from unweave.recorder.exports.obstacles import obstacles

HELD = Path(str(files("unweave.recorder") / "example" / "no-position.db"))


def test_the_example_is_whole_small_and_really_took_its_time():
    assert HELD.stat().st_size < 2_000_000
    with Journal.open(HELD, read_only=True) as journal:
        assert verify(journal).ok
        assert verify(journal).late == ()
        recorded = session(journal, "last")
        assert recorded.state == "stopped"
        assert recorded.failed == 1
        seconds = [step.seconds for step in recorded.steps()]
        assert max(s for s in seconds if s is not None) > 120, "the training is waited for"
        outcomes = {e.about: e.seq for e in journal.entries("outcome")}
        predictions = {e.id: e.seq for e in journal.entries("prediction")}
        assert len(predictions) == 6
        assert all(predictions[about] < seq for about, seq in outcomes.items() if about)
        assert [one for one in obstacles(recorded) if one.stops] == []


def test_the_command_puts_it_where_it_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "example.db"
    assert main(["session", "example", "--out", str(out)]) == 0
    assert out.read_bytes() == HELD.read_bytes()
    capsys.readouterr()
    assert main(["session", "list", "--journal", str(out)]) == 0
    assert main(["session", "example", "--out", str(out)]) == 2
    assert "not there yet" in capsys.readouterr().err


@pytest.mark.slow
def test_its_notebook_runs_from_top_to_bottom(tmp_path: Path):
    """It trains the model again: two minutes and more."""
    with Journal.open(HELD, read_only=True) as journal:
        made = nbformat.from_dict(notebook(session(journal, "last"), outputs=False))
    ran = NotebookClient(made, timeout=1500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    errors = [
        o.ename for c in ran.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"
    ]
    assert errors == ["HookError"], "the wrong hook name fails again, and nothing else does"
