"""Fields of a table of tables, by dotted path."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from unweave.core.errors import InputError, nearest


def with_fields(
    base: Mapping[str, Any], whole: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """A copy of `base` in which these fields, named by dotted path, are set.

    Args:
        whole: `base` with every field written out: what lies above a field is taken from there where
            `base` leaves it out.

    Raises:
        InputError: for a path that leads through something that is no table.
    """
    values = copy.deepcopy(dict(base))
    for path, value in fields.items():
        *above, last = path.split(".")
        place, full = values, whole
        for name in above:
            full = _below(full, name, path)
            place = place.setdefault(name, copy.deepcopy(dict(full)))
        place[last] = copy.deepcopy(value)
    return values


def _below(table: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    if not isinstance(table.get(name), Mapping):
        raise InputError(
            wanted=f"the dotted path of a field, such as training.lr or training.schedule.steps, for {path!r}",
            got=f"{name!r}, which is no table",
            remedy=f"nearest: {nearest(name, table)}",
        )
    return table[name]
