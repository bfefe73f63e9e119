"""A grid of runs as a value: a base, axes that vary named fields of it, and seeds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from unweave.core.errors import InputError, nearest
from unweave.training.fit import require_fit
from unweave.training.grids.dotted import with_fields
from unweave.training.grids.member import Member
from unweave.training.grids.results import COLUMNS
from unweave.training.run_file import EXAMPLE as RUN_EXAMPLE
from unweave.training.run_file import RunConfig, read_values

FIELDS = ("base", "axes", "seeds")
SEEDED = ("model.seed", "training.seed")

EXAMPLE: dict[str, Any] = {
    "base": RUN_EXAMPLE,
    "axes": {
        "training.lr": [0.001, 0.003],
        "model.n_layers": [1, 2],
        "warmup": {
            "meant": {"training.schedule": {"name": "LinearWarmup", "steps": 50}},
            "none": {"training.schedule": {"name": "Constant"}, "training.max_grad_norm": None},
        },
    },
    "seeds": [0, 1, 2],
}


@dataclass(frozen=True)
class Grid:
    """Every combination of the axes' values, once a seed.

    Args:
        base: task, model and training, as `unweave train` takes them.
        axes: either the dotted path of a field with a list of its values, or a name of your own with a
            table of settings, each a table of dotted paths: fields that vary together.
        seeds: of weights and data; each is put into `model.seed` and `training.seed`. Without any, those
            of the base and the axes stand.

    Raises:
        InputError: for anything that doesn't fit, a field that doesn't exist among them; nothing is
            trained before every run's config was read.
    """

    base: Mapping[str, Any]
    axes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seeds: Sequence[int] = ()

    def __post_init__(self) -> None:
        _require_shape(self.axes, self.seeds)
        seeded = [path for fields in self._every_setting() for path in fields if path in SEEDED]
        if self.seeds and seeded:
            raise InputError(
                wanted="seeds, or an axis of seeds",
                got=f"both seeds and {seeded[0]}",
                remedy="leave one of them out",
            )
        _ = self.members

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Grid:
        """The grid that a file's values say."""
        for name in values:
            if name not in FIELDS:
                raise InputError(
                    wanted=f"a table with {', '.join(FIELDS)}",
                    got=repr(name),
                    remedy=f"nearest: {nearest(name, FIELDS)}",
                )
        if not isinstance(values.get("base"), Mapping):
            raise InputError(
                wanted="a table for 'base': task, model and training",
                got=repr(values.get("base")),
                remedy="unweave grid --example prints a whole file",
            )
        axes, seeds = values.get("axes", {}), values.get("seeds", [])
        _require_shape(axes, seeds)
        return cls(values["base"], axes, seeds)

    @classmethod
    def read(cls, path: Path) -> Grid:
        """The grid in this file; its `base` may be the name of another file, seen from there."""
        values = read_values(path, example="unweave grid")
        if isinstance(values.get("base"), str):
            values["base"] = read_values(path.parent / values["base"])
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"base": dict(self.base), "axes": dict(self.axes), "seeds": list(self.seeds)}

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Every run, the last axis and then the seed fastest."""
        base = RunConfig.from_dict(self.base)
        whole, found = base.to_dict(), dict[str, Member]()
        for settings in itertools.product(*(_settings(name, of) for name, of in self.axes.items())):
            for seed in self.seeds or (None,):
                labels = {name: label for name, (label, _) in zip(self.axes, settings, strict=True)}
                fields = {path: value for _, setting in settings for path, value in setting.items()}
                seeded = {} if seed is None else dict.fromkeys(SEEDED, seed)
                member = Member(_config(self.base, whole, fields | seeded, labels), labels, seed)
                if member.name in found:
                    raise InputError(
                        wanted="runs that differ",
                        got=f"the same config at ({found[member.name].told}) and at ({member.told})",
                        remedy="take repeated values, or seeds, out of the grid",
                    )
                found[member.name] = member
        return tuple(found.values())

    def _every_setting(self) -> list[Mapping[str, Any]]:
        return [fields for name, of in self.axes.items() for _, fields in _settings(name, of)]


def _settings(name: str, values: Any) -> list[tuple[Any, Mapping[str, Any]]]:
    """An axis as (label, fields that it sets)."""
    if isinstance(values, Mapping):
        return list(values.items())
    return [(value, {name: value}) for value in values]


def _config(
    base: Mapping[str, Any], whole: Mapping[str, Any], fields: Mapping[str, Any], labels: Mapping[str, Any]
) -> RunConfig:
    try:
        config = RunConfig.from_dict(with_fields(base, whole, fields))
        require_fit(config.model, config.task)
    except InputError as error:
        at = ", ".join(f"{name}={json.dumps(label)}" for name, label in labels.items())
        raise InputError(
            wanted=error.wanted, got=f"{error.got} (at {at})" if at else error.got, remedy=error.remedy
        ) from error
    return config


def _require_shape(axes: Any, seeds: Any) -> None:
    if not isinstance(axes, Mapping):
        raise InputError(
            wanted="a table for 'axes'", got=repr(axes), remedy="unweave grid --example prints one"
        )
    for name, values in cast("Mapping[str, Any]", axes).items():
        _require_axis(name, values)
    if not isinstance(seeds, list | tuple) or not all(_whole(seed) for seed in cast("list[Any]", seeds)):
        raise InputError(
            wanted="a list of whole numbers for 'seeds'", got=repr(seeds), remedy='"seeds": [0, 1, 2]'
        )


def _require_axis(name: str, values: Any) -> None:
    tables = isinstance(values, Mapping) and all(isinstance(of, Mapping) for of in cast(Any, values).values())
    if not values or not (isinstance(values, list | tuple) or tables):
        raise InputError(
            wanted=f"for the axis {name!r}, a list of values, or a table of named settings, each a table of fields",
            got=json.dumps(values, default=repr),
            remedy='for example "training.lr": [0.001, 0.003]',
        )
    if name in COLUMNS:
        raise InputError(
            wanted="an axis with a name that no column of the results has",
            got=repr(name),
            remedy="seeds stand under 'seeds'" if name == "seed" else "call it otherwise",
        )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
