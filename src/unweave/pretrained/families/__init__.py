"""The families that can be opened: each file here holds one, as `FAMILY`; packages may add theirs.

A package adds one by an entry point in the group `unweave.adapters` that names a `Family`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from unweave.core.errors import InputError, nearest
from unweave.core.log import log
from unweave.pretrained.family import Family

GROUP = "unweave.adapters"


@cache
def families() -> dict[str, Family]:
    """Every family by its name; one that a package adds takes the place of ours of that name."""
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(__path__):
        family = getattr(import_module(f"{__name__}.{module.name}"), "FAMILY", None)
        if isinstance(family, Family):
            found[family.name] = family
    for entry in entry_points(group=GROUP):
        family = entry.load()
        if not isinstance(family, Family):
            raise InputError(
                wanted=f"an unweave.pretrained.family.Family at the entry point {entry.name} of {GROUP}",
                got=f"{entry.value}, a {type(family).__name__}",
                remedy="mend or remove the package that declares it",
            )
        if family.name in found:
            log.warning("the adapter %s of %s takes the place of unweave's", family.name, entry.value)
        found[family.name] = family
    return found


def family_of(values: Mapping[str, Any], where: str = "config.json") -> Family:
    """The family that a config belongs to.

    Raises:
        InputError: for one that no adapter reads; it names the nearest, and the way on.
    """
    named: list[str] = values.get("architectures") or []
    kind = values.get("model_type")
    # An added family is asked first.
    for family in reversed(families().values()):
        if set(named) & set(family.architectures) or (not named and kind in family.model_types):
            return family
    known = sorted(name for family in families().values() for name in family.architectures)
    wanted_name = named[0] if named else str(kind)
    raise InputError(
        wanted=f"a model of a known family in {where}",
        got=f"architectures={list(named)}, model_type={kind!r}",
        remedy=f"open it with transformers and pass it to unweave.wrap(); nearest: {nearest(wanted_name, known)}",
    )
