"""What a sweep goes over: patches with names, in rows and columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from unweave.core.errors import InputError
from unweave.engine.layout import PER_HEAD, SCORES, chosen, dims_of
from unweave.engine.operations import Operation
from unweave.engine.site import Change, Intervention, Site
from unweave.model.transformer import HookedTransformer

OUTER = ("site", "layer")
AXES = (*OUTER, "pos", "head", "neuron", "key")
Label = int | str
Changes = tuple[Change, ...]


@dataclass(frozen=True, eq=False)
class Grid:
    """Patches in row-major order.

    Args:
        dims: the names of its dimensions.
        coords: the labels along each.
        patches: what is changed in each cell.
        wholes: patches that touch all that some cells touch, with those cells' numbers: their
            effect is what those cells' attributions should sum to.
    """

    dims: tuple[str, ...]
    coords: Mapping[str, tuple[Label, ...]]
    patches: tuple[Changes, ...]
    wholes: tuple[tuple[Changes, tuple[int, ...]], ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """How many labels each dimension has."""
        return tuple(len(self.coords[dim]) for dim in self.dims)

    def labels(self, number: int) -> dict[str, Label]:
        """The labels of one cell."""
        rest, found = number, {}
        for dim, size in zip(reversed(self.dims), reversed(self.shape), strict=True):
            rest, at = divmod(rest, size)
            found[dim] = self.coords[dim][at]
        return {dim: found[dim] for dim in self.dims}


def parsed(over: Any) -> tuple[Site, tuple[str, ...]] | None:
    """The site and the axes that `over` names; None if it is a list of patches.

    Raises:
        InputError: for something else.
    """
    if isinstance(over, str):
        return Site(over), ()
    if isinstance(over, Site):
        return over, ()
    if isinstance(over, tuple) and over and isinstance(over[0], str | Site):
        parts = cast(tuple[Any, ...], over)
        site = Site(parts[0]) if isinstance(parts[0], str) else parts[0]
        if len(parts) == 2 and isinstance(parts[0], str) and not isinstance(parts[1], str):
            return None
        unknown = [axis for axis in parts[1:] if axis not in AXES]
        if unknown or len(set(parts[1:])) < len(parts) - 1:
            raise InputError(
                wanted=f"axes among {', '.join(AXES)}, each once, after the site",
                got=", ".join(map(repr, parts[1:])),
                remedy='write over=("z", "layer", "head")',
            )
        return site, tuple(parts[1:])
    return None


def listed(over: Any) -> Grid:
    """A list of patches, or a mapping from labels to patches; each an intervention or a list of them.

    Raises:
        InputError: for anything else.
    """
    if isinstance(over, Mapping):
        given = cast(Mapping[Any, Any], over)
        labels, patches = tuple(map(str, given)), tuple(given.values())
    elif isinstance(over, list | tuple):
        patches = tuple(cast(Sequence[Any], over))
        labels = tuple(range(len(patches)))
    else:
        labels, patches = (), ()
    if not patches:
        raise InputError(
            wanted="a site, a site and axes, or a list of patches to sweep over",
            got=repr(over) if not isinstance(over, list | Mapping) else "none",
            remedy='write over="resid_pre" or over=("z", "layer", "head")',
        )
    changes = tuple(_patch(patch) for patch in patches)
    return Grid(("patch",), {"patch": labels}, changes)


def crossed(
    site: Site,
    axes: tuple[str, ...],
    operation: Operation,
    model: HookedTransformer,
    n_pos: int,
    shapes: Mapping[str, tuple[int, ...]],
) -> Grid:
    """A patch for each combination of labels along `axes`, each touching that part of `site` alone.

    Without axes: layers and positions, or layers and heads where the site has heads.

    Args:
        shapes: of the tensors at the site's hooks.

    Raises:
        InputError: for an axis that the site doesn't have.
    """
    hooks = site.by_layer(model)
    axes = axes or natural_axes(site, hooks)
    choices = {axis: _choices(axis, site, hooks, n_pos, shapes) for axis in axes}
    outer = [axis for axis in axes if axis in OUTER]
    patches: list[Changes] = []
    by_outer: dict[tuple[Any, ...], list[int]] = {}
    for number, values in enumerate(itertools.product(*(choices[axis].values() for axis in axes))):
        picked = dict(zip(axes, values, strict=True))
        patches.append(_changes(site, picked, hooks, operation))
        by_outer.setdefault(tuple(picked[axis] for axis in outer), []).append(number)
    wholes = tuple(
        (_changes(site, dict(zip(outer, values, strict=True)), hooks, operation), tuple(cells))
        for values, cells in by_outer.items()
    )
    return Grid(axes, {axis: tuple(choices[axis]) for axis in axes}, tuple(patches), wholes)


def natural_axes(site: Site, hooks: Mapping[tuple[str, int | None], str]) -> tuple[str, ...]:
    """The axes of a site that is given without any."""
    per_head = {dims_of(hook) for hook in hooks.values()} <= {PER_HEAD, SCORES}
    layers = ("layer",) if all(layer is not None for _, layer in hooks) else ()
    sites = ("site",) if isinstance(site.name, tuple) else ()
    return (*sites, *layers, "head" if per_head else "pos")


def _changes(
    site: Site, picked: Mapping[str, Any], hooks: Mapping[tuple[str, int | None], str], operation: Operation
) -> Changes:
    names = [
        hook
        for (name, layer), hook in hooks.items()
        if picked.get("site", name) == name and picked.get("layer", layer) == layer
    ]
    if not names:
        raise InputError(
            wanted="each site in each layer of the sweep",
            got=f"no {picked.get('site')!r} in layer {picked.get('layer')}",
            remedy="sweep over them one by one, or name the layers that have them all",
        )
    inner = {axis: value for axis, value in picked.items() if axis not in OUTER}
    return tuple(Intervention(site.at(name=hook, layer=None, **inner), operation) for hook in names)


def _choices(
    axis: str,
    site: Site,
    hooks: Mapping[tuple[str, int | None], str],
    n_pos: int,
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[Label, Any]:
    """The labels along an axis, and what each of them picks."""
    if axis == "site":
        return {name: name for name, _ in hooks}
    if axis == "layer":
        layers = sorted({layer for _, layer in hooks if layer is not None})
        if not layers or any(layer is None for _, layer in hooks):
            raise _no_axis(axis, next(iter(hooks.values())))
        return {layer: layer for layer in layers}
    if axis == "pos" and isinstance(site.pos, Tensor):
        columns = site.pos[:, None] if site.pos.ndim == 1 else site.pos
        return {column: columns[:, column] for column in range(columns.shape[1])}
    sizes: set[int] = set()
    for hook in hooks.values():
        dims = dims_of(hook)
        if dims is None or axis not in dims:
            raise _no_axis(axis, hook)
        sizes.add(n_pos if axis == "pos" else shapes[hook][dims.index(axis)])
    if len(sizes) > 1:
        raise InputError(
            wanted=f"sites with as many {axis}s each",
            got=" and ".join(map(str, sorted(sizes))),
            remedy="sweep over them one by one",
        )
    [size] = sizes
    choice = chosen(site.index[axis], size, axis)
    numbers = range(size)[choice] if isinstance(choice, slice) else choice.tolist()
    return {number: number for number in numbers}


def _no_axis(axis: str, hook: str) -> InputError:
    dims = dims_of(hook)
    return InputError(
        wanted=f"a site with {axis}s to sweep over",
        got=f"{hook}, which has {', '.join((dims or ('no dimensions of its own',))[1:]) or 'none'}",
        remedy="leave that axis out, or name another site",
    )


def _patch(changes: Any) -> Changes:
    if isinstance(changes, list) or (
        isinstance(changes, tuple) and changes and not isinstance(changes[0], str)
    ):
        return tuple(cast(Sequence[Change], changes))
    return (cast(Change, changes),)
