"""Exit codes, what goes to stdout and what to stderr, and the claims table."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.repository import pyproject
from unweave.cli.main import EXTRAS, main
from unweave.core.errors import InputError

CLAIMS = [
    {
        "id": "solved",
        "statement": "The model predicts the previous token without being given positions",
        "rivals": ["It guesses"],
        "prediction": "held-out loss < 0.05 nats",
        "measured": [
            {"name": "held-out loss", "value": 0.021345, "interval": [0.0201, 0.0225], "unit": "nats"},
            {"name": "sequences", "value": 4000, "interval": None, "unit": ""},
        ],
        "control": [],
        "verdict": "supported",
        "reason": "below the threshold",
    },
    {
        "id": "matching",
        "statement": "The query at i looks for the code of i−1",
        "rivals": ["Recency"],
        "prediction": "attention moves with the shifted code",
        "measured": [
            {"name": f"shift {shift}", "value": 0.5, "interval": None, "unit": ""} for shift in range(5)
        ],
        "control": [],
        "verdict": "refuted",
        "reason": "attention [row 3] stayed",
    },
]


class Diverged(RuntimeError):
    __module__ = "unweave.training.loop"


@dataclass
class Outcome:
    report: Path
    claims: list[dict[str, Any]] = field(default_factory=lambda: CLAIMS)
    results: dict[str, Any] = field(default_factory=dict)


@dataclass
class FakeExperiment:
    """An experiment that notes how it was called, and fails if it was told to."""

    failure: BaseException | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    def run(self, preset: str, seed: int, out: Path, progress: bool, seeds: int | None = None) -> Outcome:
        self._note(preset=preset, seed=seed, out=out, progress=progress, seeds=seeds)
        return Outcome(out / "report.html")

    def test_claims(self, model_dir: Path, control_dir: Path | None, progress: bool) -> list[dict[str, Any]]:
        self._note(model_dir=model_dir, control_dir=control_dir, progress=progress)
        return CLAIMS

    def _note(self, **call: Any) -> None:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> FakeExperiment:
    """Stands in the experiments room under the name `fake`."""
    fake = FakeExperiment()

    def load_experiment(name: str) -> FakeExperiment:
        if name != "fake":
            raise InputError(wanted="an experiment", got=repr(name), remedy="choose from: fake")
        return fake

    room = ModuleType("unweave.experiments")
    room.load_experiment = load_experiment  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unweave.experiments", room)
    return fake


def test_run_passes_its_options_on(experiment: FakeExperiment, tmp_path: Path):
    assert (
        main(["run", "fake", "--preset", "notebook", "--seed", "3", "--seeds", "5", "--out", str(tmp_path)])
        == 0
    )
    assert experiment.calls == [
        {"preset": "notebook", "seed": 3, "out": tmp_path, "progress": False, "seeds": 5}
    ]


def test_run_defaults(experiment: FakeExperiment):
    assert main(["run", "fake"]) == 0
    assert experiment.calls == [
        {"preset": "quick", "seed": 0, "out": Path("runs") / "fake", "progress": False, "seeds": None}
    ]


def test_run_ends_with_the_claims_and_the_report(
    experiment: FakeExperiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    long = tmp_path / ("long " * 30).strip() / "[bold]"
    assert main(["run", "fake", "--out", str(long)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1] == f"report: {long / 'report.html'}"
    assert "supported" in out
    assert "refuted" in out


def test_progress_is_shown_on_a_terminal_alone(experiment: FakeExperiment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["run", "fake"]) == 0
    assert experiment.calls[0]["progress"] is True


def test_claims_as_a_table_at_80_columns(
    experiment: FakeExperiment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["claims", "fake", "model", "--control", "other"]) == 0
    assert experiment.calls == [{"model_dir": Path("model"), "control_dir": Path("other"), "progress": False}]
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "held-out loss: 0.02134 [0.0201, 0.0225] nats" in out
    assert "sequences: 4000 " in out
    assert "and 2 more" in out
    assert "attention [row 3] stayed" in out  # brackets are text, not markup
    assert "below the threshold" not in out


def test_colour_is_left_out_when_asked(
    experiment: FakeExperiment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["claims", "fake", "model"]) == 0
    assert "\x1b[32m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["claims", "fake", "model"]) == 0
    assert "\x1b[32m" not in capsys.readouterr().out


def test_json_is_alone_on_stdout(experiment: FakeExperiment, capsys: pytest.CaptureFixture[str]):
    assert main(["claims", "fake", "model", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == CLAIMS
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere"], "error: wanted an experiment; got 'nowhere'; choose from: fake\n"),
        (["claims", "nowhere", "model", "--json"], "error: wanted an experiment; got 'nowhere'; choose"),
        (["rnu"], "error: No such command 'rnu'"),
        (["run"], "error: Missing argument 'EXPERIMENT'. (see unweave run --help)\n"),
        (["claims", "fake"], "error: Missing argument 'MODEL_DIR'. (see unweave claims --help)\n"),
        (["run", "fake", "--seed", "one"], "error: Invalid value for '--seed'"),
        (["run", "fake", "--seed", "-1"], "error: Invalid value for '--seed'"),
        (["run", "fake", "--sede", "1"], "error: No such option: --sede"),
        (["--bogus"], "error: No such option: --bogus (see unweave --help)\n"),
    ],
)
def test_bad_input_is_one_line_and_2(
    experiment: FakeExperiment, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert experiment.calls == []


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (KeyboardInterrupt(), "error: interrupted\n"),
        (OSError(28, "No space left on device", "x"), "error: [Errno 28] No space left on device: 'x'\n"),
        (Diverged("the loss is\nno number"), "error: the loss is no number\n"),
        (
            ModuleNotFoundError("No module named 'nbformat'", name="nbformat.v4"),
            "error: nbformat.v4 is not installed; pip install 'unweave[notebook]' brings it\n",
        ),
    ],
)
def test_a_failure_is_one_line_and_1(
    experiment: FakeExperiment, capsys: pytest.CaptureFixture[str], failure: BaseException, message: str
):
    experiment.failure = failure
    assert main(["run", "fake"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", message)


@pytest.mark.parametrize(
    "bug",
    [ZeroDivisionError("a bug"), ModuleNotFoundError("No module named 'unweave.typo'", name="unweave.typo")],
)
def test_a_bug_keeps_its_traceback(experiment: FakeExperiment, bug: Exception):
    experiment.failure = bug
    with pytest.raises(type(bug)):
        main(["run", "fake"])


def test_an_unknown_experiment_is_told_of_the_known_ones(capsys: pytest.CaptureFixture[str]):
    assert main(["run", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"error: .*'nowhere'.*no-position.*\n", err)


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "Commands" in out
    for command in ("run", "claims"):
        assert command in out


def test_every_extra_named_brings_its_package():
    extras = pyproject()["project"]["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(requirement.startswith(package) for requirement in extras[extra])
