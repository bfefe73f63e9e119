"""Every public name of TransformerLens 3.9.0 is here, or on the page with the reason; and nothing there is here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.compat.lacking import lacking
from tests.compat.surface import surface
from tests.repository import ROOT
from unweave.compat.missing import MISSING

SURFACE: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/compat/surface-3.9.0.json").read_text())
PAGE = (ROOT / "docs/coming-from-transformer-lens.md").read_text()


def entries(page: str) -> list[str]:
    """The names in the first column of the page's table of what is not here."""
    table = page.partition("| Not here |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def covers(entry: str, name: str) -> bool:
    return name == entry or name.startswith((f"{entry}.", f"{entry}("))


@pytest.fixture(scope="module")
def found() -> tuple[set[str], set[str]]:
    return lacking(SURFACE)


def test_what_is_missing_is_on_the_page(found: tuple[set[str], set[str]]):
    told = entries(PAGE)
    assert [name for name in sorted(found[0]) if not any(covers(entry, name) for entry in told)] == []


def test_what_is_on_the_page_is_missing(found: tuple[set[str], set[str]]):
    missing, present = found
    told = entries(PAGE)
    assert len(told) == len(set(told)) > 100
    assert [entry for entry in told if not any(covers(entry, name) for name in missing)] == []
    assert [entry for entry in told if any(covers(entry, name) for name in present)] == []


def test_whole_modules_are_told_by_the_door_too():
    told = entries(PAGE)
    assert [name for name in MISSING if name not in told] == []
    assert all(f"| `{name}` | {why} |" in PAGE for name, why in MISSING.items())
    assert [name for name in told if name in SURFACE and name not in MISSING] == []


def test_the_list_is_that_of_the_whole_package():
    assert len(SURFACE) > 250 and sum(len(names) for names in SURFACE.values()) > 1400
    assert SURFACE["HookedTransformer"]["HookedTransformer"]["from_pretrained"][:2] == [
        "model_name",
        "fold_ln",
    ]
    assert (
        "HookedTransformer" in SURFACE[""]
        and "n_ctx" in SURFACE["HookedTransformer"]["HookedTransformer"]["from_pretrained"]
    )


def test_a_name_that_is_gone_and_an_argument_that_is_new_are_noticed():
    missing, present = lacking(
        {
            "hook_points": {"HookPoint": {"explode": [], "add_hook": ["hook", "when"]}, "Gone": None},
            "attic": {"x": None},
        }
    )
    assert missing == {
        "attic",
        "hook_points.Gone",
        "hook_points.HookPoint.explode",
        "hook_points.HookPoint.add_hook(when)",
    }
    assert "hook_points.HookPoint.add_hook(hook)" in present


def test_a_wheel_and_a_folder_give_the_same(tmp_path: Path):
    source = (
        "from .sub import thing\nimport os\nX = 1\n_y = 2\ntry:\n    Z = 3\nexcept ImportError:\n    Z = None\n"
        "class A:\n    n: int = 0\n    def f(self, a, *, b=1): ...\n    def _g(self): ...\n"
        "def h(c, d=2): ...\n"
    )
    package = tmp_path / "transformer_lens"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    (package / "sub.py").write_text("from os import path\nthing = 1\n")
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for path in package.iterdir():
            file.write(path, f"transformer_lens/{path.name}")
    wanted = {
        "": {"thing": None, "X": None, "Z": None, "A": {"n": None, "f": ["a", "b"]}, "h": ["c", "d"]},
        "sub": {"thing": None},
    }
    assert surface(package) == surface(wheel) == wanted
    printed = subprocess.run(
        [sys.executable, "-m", "tests.compat.surface", wheel],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(printed.stdout) == wanted
