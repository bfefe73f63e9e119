"""Schedules as JSON values, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from unweave.core.errors import InputError, nearest
from unweave.training.schedules.compositions import Larger, Product, Smaller, Then
from unweave.training.schedules.schedule import Schedule
from unweave.training.schedules.shapes import (
    Constant,
    Cosine,
    InverseSquareRoot,
    LinearDecay,
    LinearWarmup,
    Ramp,
    WarmupStableDecay,
)

SCHEDULES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Constant,
        Cosine,
        InverseSquareRoot,
        Larger,
        LinearDecay,
        LinearWarmup,
        Product,
        Ramp,
        Smaller,
        Then,
        WarmupStableDecay,
    )
}


def schedule_to_dict(schedule: Schedule) -> dict[str, Any]:
    """Its name and numbers; of a plain function the name alone, from which it can't be made again."""
    if not dataclasses.is_dataclass(schedule):
        return {"name": getattr(schedule, "__name__", type(schedule).__name__)}
    values: dict[str, Any] = {"name": type(schedule).__name__}
    for part in dataclasses.fields(schedule):
        value = getattr(schedule, part.name)
        values[part.name] = schedule_to_dict(cast(Schedule, value)) if callable(value) else value
    return values


def schedule_from(values: object) -> Schedule:
    """The schedule that `{"name": ..., ...}` says; parts of a composition are written in the same way.

    Raises:
        InputError: for an unknown name or field, or a value that doesn't fit.
    """
    given = cast(Mapping[str, Any], values if isinstance(values, Mapping) else {"name": values})
    name = given.get("name")
    if name not in SCHEDULES:
        raise InputError(
            wanted=f'a schedule with a name, one of {", ".join(SCHEDULES)}, as {{"name": "LinearWarmup", "steps": 100}}',
            got=repr(name),
            remedy=f"nearest: {nearest(str(name), SCHEDULES)}",
        )
    kind = SCHEDULES[name]
    known = [part.name for part in dataclasses.fields(kind)]
    fields: dict[str, Any] = {}
    for key, value in given.items():
        if key == "name":
            continue
        if key not in known:
            raise InputError(
                wanted=f"a field of {name}: {', '.join(known)}",
                got=repr(key),
                remedy=f"nearest: {nearest(key, known)}",
            )
        fields[key] = schedule_from(value) if key in ("first", "second") else value
    return kind(**fields)
