"""What an import loads. How long it takes is measured by `bench/import_time.py`."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from types import ModuleType

import pytest

import unweave
from tests.repository import ROOT, pyproject

HEAVY = {"torch", "numpy", "einops", "jaxtyping", "safetensors", "tqdm", "typer", "rich", "plotly", "jinja2"}


def loaded_after(code: str) -> set[str]:
    """The heavy packages that a fresh process has loaded after `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.__stderr__)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(result.stderr))


def test_importing_unweave_loads_nothing_heavy():
    assert loaded_after("import unweave") == set()


def test_the_journal_loads_nothing_heavy():
    assert loaded_after("import unweave; unweave.Journal; import unweave.journal") == set()


def test_listing_the_public_names_loads_nothing_heavy():
    assert loaded_after("import unweave; dir(unweave)") == set()


def test_reaching_the_model_loads_neither_charts_nor_the_command_line():
    loaded = loaded_after("import unweave; unweave.HookedTransformer")
    assert "torch" in loaded
    assert loaded.isdisjoint({"typer", "rich", "plotly", "jinja2"})


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in ("run", "claims", "models", "inspect", "check", "journal")),
    ],
)
def test_the_command_line_answers_without_torch(arguments: list[str]):
    loaded = loaded_after(f"from unweave.cli.main import main\nassert main({arguments!r}) == 0")
    assert loaded.isdisjoint({"torch", "numpy", "plotly", "jinja2"})


@pytest.mark.parametrize("name", [name for name in unweave.__all__ if name != "__version__"])
def test_every_public_name_is_there(name: str):
    assert getattr(unweave, name) is not None


MODULES = [name for name in unweave.__all__ if isinstance(getattr(unweave, name), ModuleType)]


@pytest.mark.parametrize(
    "first",
    ["import unweave.{0}", "from unweave import {0}", "import {1}", "from unweave.{0} import *"],
)
def test_a_public_module_is_imported_by_its_short_name(first: str):
    """In a fresh process, whichever way it is imported first."""
    homes = {name: getattr(unweave, name).__name__ for name in MODULES}
    checks = [
        f"""
{first.format(name, home)}
import sys, unweave, unweave.{name}, {home} as home
assert unweave.{name} is home is sys.modules["unweave.{name}"] is sys.modules["{home}"]
assert home.__name__ == home.__spec__.name == "{home}"
"""
        for name, home in homes.items()
    ]
    subprocess.run([sys.executable, "-c", "".join(checks)], check=True)


def test_the_doors_are_the_modules_that_live_further_inside():
    [floors, _] = pyproject()["tool"]["importlinter"]["contracts"]
    doors = {name for name in MODULES if getattr(unweave, name).__name__ != f"unweave.{name}"}
    assert "patching" in doors
    assert doors == {path.stem for path in (ROOT / "src/unweave").glob("*.py")} - {"__init__"}
    assert doors == {door.strip() for door in floors["layers"][0].split("|")}


def test_the_public_names_are_listed_once():
    assert set(unweave.__all__) <= set(dir(unweave))
    assert set(unweave.__all__) - {"__version__"} == set(unweave._HOMES)
    # What type checkers are told is what the lazy table serves.
    tree = ast.parse((ROOT / "src/unweave/__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: f"unweave.{alias.name}" if node.module == "unweave" else f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == unweave._HOMES


def test_an_unknown_name_says_so():
    with pytest.raises(AttributeError, match=r"^unweave has no 'HookedTransformr'$") as caught:
        _ = unweave.HookedTransformr
    # With these, Python's traceback adds "Did you mean: 'HookedTransformer'?"
    assert caught.value.name == "HookedTransformr"
    assert caught.value.obj is unweave
