"""The door: `import transformer_lens` gives Unweave's own, until it is closed again."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType

from unweave.compat.finder import NAME, AliasFinder, aliased
from unweave.compat.warned import warn
from unweave.core.errors import InputError

# One door a process, since there is one sys.modules. What lay behind it, to be put back.
_finder = AliasFinder()
_set_aside: dict[str, ModuleType] = {}


def install(*, replace: bool = False) -> None:
    """From here on `import transformer_lens`, and any module of it, gives `unweave.compat.transformer_lens`.

    Modules are the same objects under both names, so that a class is one class. A second call does
    nothing. If the real package is installed, this one wins, with a warning.

    Args:
        replace: if the real package is imported already, set it aside, with a warning, until
            `uninstall()`; what others took from it before stays the real one.

    Raises:
        InputError: if the real package is imported already and `replace` is False.
    """
    if _finder in sys.meta_path:
        return
    real = {name: module for name, module in sys.modules.items() if _within(name)}
    if real and not replace:
        raise InputError(
            wanted=f"a process that has not imported the real {NAME}",
            got=f"one that has: {_place_of(real)}",
            remedy="call unweave.compat.install() first of all; or pass replace=True to set the real one aside, "
            "though what was taken from it before stays the real one",
        )
    if real:
        warn(
            f"{NAME} is now Unweave's; what was imported from {_place_of(real)} before is still the real one"
        )
    elif PathFinder.find_spec(NAME) is not None:
        warn(
            f"{NAME} is installed as well: from here on `import {NAME}` gives Unweave's, and "
            "unweave.compat.uninstall() gives the installed one back"
        )
    _set_aside.update(real)
    for name in real:
        del sys.modules[name]
    sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Close the door: sys.modules and sys.meta_path are as they were before `install()`.

    Whoever imported something through it keeps that. Without an open door it does nothing.
    """
    if _finder not in sys.meta_path:
        return
    sys.meta_path.remove(_finder)
    for name in [name for name in sys.modules if _within(name)]:
        # Only what came through the door goes.
        if sys.modules[name] is sys.modules.get(aliased(name)):
            del sys.modules[name]
    sys.modules.update(_set_aside)
    _set_aside.clear()


def _within(name: str) -> bool:
    return name.partition(".")[0] == NAME


def _place_of(modules: dict[str, ModuleType]) -> str:
    first = modules.get(NAME) or next(iter(modules.values()))
    return str(getattr(first, "__file__", None) or first.__name__)
