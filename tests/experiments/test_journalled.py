"""An experiment's claims stand in the journal before its run, its verdicts after it."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unweave.cli.main import main
from unweave.core.claims import Check, Claim, Estimate, Finding, claim, judge
from unweave.core.errors import InputError
from unweave.experiments import ExperimentRun, registry
from unweave.experiments.journalled import claims_of, run_in_journal
from unweave.journal import Journal, JournalReadOnly, audit, ledger, verify


@claim(
    id="large",
    title="Large",
    statement="Sums of the preset are large.",
    rivals=("They are small.",),
    prediction="The sum lies above 1.",
    threshold="sum > 1",
    control="zeros sum to 0",
)
def large(study: float) -> Finding:
    checks = (Check("sum", Estimate(study), above=1.0),)
    return Finding({"sum": Estimate(study)}, {"zeros": Estimate(0.0)}, *judge(checks), checks)


class Sums:
    """An experiment of one sum."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.during = during

    def run(
        self, preset: str, seed: int, out: Path, progress: bool = False, seeds: int | None = None
    ) -> ExperimentRun:
        self.during()
        tested: list[dict[str, Any]] = [large.tested(float(seed))]
        return ExperimentRun({"claims": tested}, out / "report.html")

    def test_claims(
        self, model_dir: Path, control_dir: Path | None = None, progress: bool = False
    ) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The experiment under the name "sums"; `during` is what its run does."""
    room = types.ModuleType("tests.sums")
    room.CLAIMS, room.EXPERIMENT = (large,), Sums(lambda: room.during())  # type: ignore[attr-defined]
    room.during = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests.sums", room)
    monkeypatch.setitem(registry.NAMES, "sums", "tests.sums")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("UNWEAVE_JOURNAL", raising=False)
    return room


def kinds(path: Path) -> list[str]:
    with Journal.open(path, read_only=True) as journal:
        return [entry.kind for entry in journal.entries()]


BEFORE = ["experiment", "hypothesis", "hypothesis", "prediction"]
AFTER = ["evidence", "outcome", "verdict"]


def test_claims_stand_there_while_it_runs(tmp_path: Path, sums: Any):
    path, seen = tmp_path / "journal.db", list[str]()
    with Journal.open(path, create=True) as journal:
        sums.during = lambda: seen.extend(kinds(path))  # another reader, in the middle of the run
        done = run_in_journal("sums", journal, preset="quick", seed=3, out=tmp_path / "out")
        assert seen == BEFORE
        assert kinds(path) == BEFORE + AFTER
        assert (done.first, done.last, done.problem) == (1, 7, "")
        body = journal.entry("1").body or {}
        # How many seeds a preset takes is known when it has run, and told then.
        assert "seeds" not in body
        assert next(journal.entries("evidence")).body["seeds"] == [3]
        assert body["versions"]["unweave"]
        assert verify(journal).ok
        assert {advice.rule for advice in audit(journal).advice} == {"one seed", "no held-out data"}


def test_a_run_that_breaks_off_is_written_and_raised(tmp_path: Path, sums: Any):
    def stop() -> None:
        raise KeyboardInterrupt("at step 3")

    sums.during = stop
    with Journal.open(tmp_path / "journal.db", create=True) as journal:
        with pytest.raises(KeyboardInterrupt):
            run_in_journal("sums", journal, preset="quick", seed=3, out=tmp_path / "out")
        assert [one.how for one in ledger(journal).failures] == ["KeyboardInterrupt: at step 3"]


def test_a_journal_that_fails_afterwards_costs_no_run(tmp_path: Path, sums: Any):
    with Journal.open(tmp_path / "journal.db", create=True) as journal:

        def shut() -> None:
            journal.read_only = True

        sums.during = shut
        done = run_in_journal("sums", journal, preset="quick", seed=3, out=tmp_path / "out")
        assert done.run.claims[0]["verdict"] == "supported"
        assert "opened to read" in done.problem


def test_every_experiment_has_claims_to_declare():
    for name in registry.NAMES:
        assert all(isinstance(one, Claim) for one in claims_of(name))
        assert claims_of(name)
    with pytest.raises(InputError, match="wanted the name of an experiment"):
        claims_of("none")


def test_the_command_writes_where_a_journal_is_named(
    tmp_path: Path, sums: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "kept.db"
    assert main(["run", "sums", "--seed", "2", "--journal", str(path)]) == 0
    told = capsys.readouterr()
    assert f"journal: writing 1 claim to {path} before the run" in told.err
    assert "journal: entries 1 to 7" in told.err
    assert kinds(path) == BEFORE + AFTER
    monkeypatch.setenv("UNWEAVE_JOURNAL", str(path))
    assert main(["run", "sums", "--seed", "2"]) == 0
    assert len(kinds(path)) == 14


def test_the_command_finds_the_journal_of_the_project(
    tmp_path: Path, sums: Any, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "src").mkdir()
    Journal.open(tmp_path / "journal.db", create=True).close()
    monkeypatch.chdir(tmp_path / "src")
    assert main(["run", "sums"]) == 0
    assert kinds(tmp_path / "journal.db") == BEFORE + AFTER


def test_no_journal_is_made_by_chance(
    tmp_path: Path, sums: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["run", "sums"]) == 0
    assert "journal" not in capsys.readouterr().err
    monkeypatch.setenv("UNWEAVE_JOURNAL", str(tmp_path / "named.db"))
    assert main(["run", "sums"]) == 0
    assert (
        "named.db, which UNWEAVE_JOURNAL names, is not there, and nothing was written"
        in capsys.readouterr().err
    )
    assert not [*tmp_path.glob("*.db")]


def test_claims_that_cannot_be_written_stop_the_run_before_it_begins(tmp_path: Path, sums: Any):
    ran = list[bool]()
    sums.during = lambda: ran.append(True)
    Journal.open(tmp_path / "journal.db", create=True).close()
    with (
        Journal.open(tmp_path / "journal.db", read_only=True) as journal,
        pytest.raises(JournalReadOnly, match="opened to read"),
    ):
        run_in_journal("sums", journal, preset="quick", seed=3, out=tmp_path / "out")
    assert ran == []
