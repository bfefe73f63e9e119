"""Imports flow down the floors; and the linter that says so would notice if they did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT, pyproject

FLOORS, STRANGERS = pyproject()["tool"]["importlinter"]["contracts"]
ROOMS = [room.strip() for floor in FLOORS["layers"] for room in floor.split("|")]


def lint_imports(folder: Path, search: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(search), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty house under the real contracts: the rooms, the lazy table, nothing else."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "unweave"
    for room in ROOMS:
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    shutil.copy(ROOT / "src/unweave/__init__.py", package)
    return tmp_path


def test_the_floors_hold():
    result = lint_imports(ROOT, ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_empty_house_passes(house: Path):
    result = lint_imports(house, house / "src")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("core", "model"),  # up
        ("model", "tasks"),  # across
        ("tasks", "charts"),
        ("charts", "model"),
        ("training", "analysis"),
        ("analysis", "training"),  # down, but strangers
        ("experiments", "cli"),
    ],
)
@pytest.mark.parametrize(
    "statement",
    [
        "import unweave.{0}",
        "def late():\n    from unweave import {0}",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import unweave.{0}",
    ],
    ids=["at the top", "in a function", "for types"],
)
def test_a_wrong_import_is_caught(house: Path, importer: str, imported: str, statement: str):
    (house / f"src/unweave/{importer}/thing.py").write_text(statement.format(imported) + "\n")
    result = lint_imports(house, house / "src")
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"unweave.{importer}.thing -> unweave.{imported}" in result.stdout


def test_imports_down_the_floors_are_allowed(house: Path):
    (house / "src/unweave/training/thing.py").write_text(
        "import unweave.tasks, unweave.model, unweave.core\n"
    )
    (house / "src/unweave/experiments/thing.py").write_text("import unweave.analysis, unweave.training\n")
    assert lint_imports(house, house / "src").returncode == 0


def test_a_room_without_a_floor_is_caught(house: Path):
    (house / "src/unweave/attic").mkdir()
    (house / "src/unweave/attic/__init__.py").touch()
    result = lint_imports(house, house / "src")
    assert result.returncode == 1
    assert "attic" in result.stdout
