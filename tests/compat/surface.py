"""The public names of a TransformerLens wheel, read from its source without running it.

    python -m tests.compat.surface WHEEL_OR_FOLDER > tests/compat/surface-3.9.0.json

A module's names, by its name without the package's: of a function its arguments, of a class its own
public members and their arguments, null for anything else. Names with an underscore in front, and
modules with one, are not public.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "transformer_lens"


def sources(place: Path) -> Iterator[tuple[str, str]]:
    """Each module's path in the package, and its text."""
    if place.is_dir():
        for path in sorted(place.rglob("*.py")):
            yield path.relative_to(place).as_posix(), path.read_text()
        return
    with zipfile.ZipFile(place) as wheel:
        for name in sorted(wheel.namelist()):
            if name.startswith(f"{PACKAGE}/") and name.endswith(".py"):
                yield name.removeprefix(f"{PACKAGE}/"), wheel.read(name).decode()


def names_of(tree: ast.Module, package: bool) -> dict[str, Any]:
    """What a module defines; a package also has what it imports from its own modules."""
    found: dict[str, Any] = {}
    for node in statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = arguments(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = members(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: None for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and package and (node.level or is_own(node.module)):
            found |= {alias.asname or alias.name: None for alias in node.names if alias.name != "*"}
    return {name: value for name, value in found.items() if not name.startswith("_")}


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under a try or an if included."""
    for node in body:
        if isinstance(node, ast.Try | ast.If):
            guard = ast.unparse(node.test) if isinstance(node, ast.If) else ""
            if "TYPE_CHECKING" not in guard and "__main__" not in guard:
                yield from statements(node.body)
        else:
            yield node


def members(node: ast.ClassDef) -> dict[str, Any]:
    """Public methods and fields of a class, and its `__init__`."""
    found: dict[str, Any] = {}
    for part in node.body:
        if isinstance(part, ast.FunctionDef):
            found[part.name] = arguments(part, bound=True)
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            found[part.target.id] = None
    return {name: value for name, value in found.items() if name == "__init__" or not name.startswith("_")}


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef, bound: bool = False) -> list[str]:
    """Names of a function's arguments, without the first of a method."""
    static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)
    args = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
    args = args[1:] if bound and not static else args
    return [*args, *(arg.arg for arg in node.args.kwonlyargs)]


def is_own(module: str | None) -> bool:
    return (module or "").partition(".")[0] == PACKAGE


def surface(place: Path) -> dict[str, dict[str, Any]]:
    """Every public module's public names."""
    found: dict[str, dict[str, Any]] = {}
    for path, text in sources(place):
        package = path.endswith("__init__.py")
        module = path.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")
        if not any(part.startswith("_") for part in module.split(".")):
            found[module] = names_of(ast.parse(text), package)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    json.dump(surface(Path(sys.argv[1])), sys.stdout, indent=None, separators=(",\n", ":"))
    sys.stdout.write("\n")
