"""The wheel holds the package and nothing else, and runs where nothing else is."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from itertools import chain
from pathlib import Path

import pytest

import unweave
from tests.repository import ROOT, pyproject


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, str]:
    """The text of each file in the wheel, by its name there."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}


def info(contents: dict[str, str], name: str) -> str:
    return contents[f"unweave-{unweave.__version__}.dist-info/{name}"]


@pytest.fixture(scope="module")
def metadata(contents: dict[str, str]) -> Message:
    return Parser().parsestr(info(contents, "METADATA"))


def test_it_holds_every_file_of_the_package_and_nothing_else(contents: dict[str, str]):
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/unweave").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in contents if ".dist-info/" not in name}
    assert shipped == source
    assert "unweave/py.typed" in shipped


def test_it_carries_its_licences(contents: dict[str, str], metadata: Message):
    assert metadata["License-Expression"] == "MIT"
    assert "The Unweave authors" in info(contents, "licenses/LICENSE")
    assert "plotly.js" in info(contents, "licenses/THIRD_PARTY_NOTICES.md")


def test_its_command_is_the_command_line(contents: dict[str, str]):
    parser = configparser.ConfigParser()
    parser.read_string(info(contents, "entry_points.txt"))
    assert dict(parser["console_scripts"]) == {"unweave": "unweave.cli.main:main"}


def test_the_core_dependencies_are_few(metadata: Message):
    required = metadata.get_all("Requires-Dist") or []
    core = {re.split(r"[^\w-]", line)[0] for line in required if "extra ==" not in line}
    assert core == {
        *("torch", "numpy", "einops", "jaxtyping", "safetensors", "tqdm"),
        *("typer", "rich"),
        *("plotly", "jinja2"),
    }


def test_every_extra_is_known(metadata: Message):
    assert set(metadata.get_all("Provides-Extra") or []) == {"notebook", "hf", "frames", "cluster", "dev"}


def test_whatever_is_required_is_pinned():
    pinned = set()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, version = line.split("==")
        assert re.fullmatch(r"[\w.]+", version), f"{line}: no local versions, no markers"
        pinned.add(normal(name))
    project = pyproject()["project"]
    required = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {normal(re.split(r"[^\w.-]", line)[0]) for line in required} - {"unweave"}
    assert names <= pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.slow
def test_it_runs_in_a_clean_environment(wheel: Path, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", tmp_path / "venv")
    bin_ = tmp_path / "venv" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)

    assert run(bin_ / "unweave", "--version").strip() == f"unweave {unweave.__version__}"
    names = ", ".join(f"unweave.{name}" for name in unweave.__all__)
    home = run(bin_ / "python", "-c", f"import unweave; {names}; print(unweave.__file__)")
    assert Path(home.strip()).is_relative_to(tmp_path)
    assert "no-position" in run(bin_ / "unweave", "run", "--help")
