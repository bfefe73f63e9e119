"""Where to intervene, and an intervention: a place and what is done there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, final

from torch import Tensor

from unweave.core.errors import HookError, InputError, nearest
from unweave.core.hooks import HookFunction
from unweave.core.sites import get_act_name
from unweave.engine.layout import Index
from unweave.engine.operations import (
    Add,
    Apply,
    Freeze,
    From,
    Interchange,
    Mean,
    Operation,
    Per,
    ProjectOut,
    Resample,
    Set,
    Zero,
)
from unweave.model.transformer import HookedTransformer

Layers = int | slice | Sequence[int] | None


@final
@dataclass(frozen=True, eq=False)
class Site:
    """Entries of one hook's tensor, or of the same hook in several layers.

    Args:
        name: a full hook name (`"blocks.0.attn.hook_z"`), what follows the layer in one
            (`"attn.hook_z"`, `"ln1.hook_scale"`), or a shorthand (`"z"`, `"resid_pre"`). A tuple of
            these is all of them.
        layer: one or several; negative ones count from the end; None is every layer that has the site.
        pos: an index, a slice, a list, or whole numbers `[sample]` or `[sample, k]` as a tensor: each
            sample's own. Queries, in scores and patterns. None is all.
        head, neuron: an index, a slice or a list. "neuron" is the last dimension, whatever it holds.
        key: the same for the keys of scores and patterns.
        direction: `[last]`, or rows `[rank, last]` that span a subspace: only what lies in it changes.

    `.at(pos=3)` is this site with something else chosen; `.zero()`, `.set(value)` and the others
    are interventions on it.
    """

    name: str | tuple[str, ...]
    layer: Layers = None
    _: KW_ONLY
    pos: Index = None
    head: Index = None
    neuron: Index = None
    key: Index = None
    direction: Tensor | None = None

    def __post_init__(self) -> None:
        if self.direction is not None and (self.neuron is not None or self.key is not None):
            raise InputError(
                wanted="a direction in the whole of the site's last dimension",
                got="a choice of neurons or keys beside it",
                remedy="leave one of the two out",
            )

    def at(self, **chosen: Any) -> Site:
        """This site with other fields."""
        return dataclasses.replace(self, **chosen)

    @property
    def index(self) -> dict[str, Index]:
        """What is chosen, by dimension."""
        return {"pos": self.pos, "head": self.head, "neuron": self.neuron, "key": self.key}

    def by_layer(self, model: HookedTransformer) -> dict[tuple[str, int | None], str]:
        """The hooks that are meant, by name as given and layer (None outside of layers).

        Raises:
            HookError: if there are none, or a layer that was named has none.
        """
        names = (self.name,) if isinstance(self.name, str) else self.name
        return {(name, layer): hook for name in names for layer, hook in self._hooks(name, model).items()}

    def hooks(self, model: HookedTransformer) -> list[str]:
        """The names of the hooks that are meant."""
        return list(self.by_layer(model).values())

    def set(self, value: Tensor | float) -> Intervention:
        """Put `value` there."""
        return Intervention(self, Set(value))

    def add(self, value: Tensor | float) -> Intervention:
        """Add `value`."""
        return Intervention(self, Add(value))

    def zero(self) -> Intervention:
        """Put zero there."""
        return Intervention(self, Zero())

    def mean(self, of: From | None = None, per: Per = "position") -> Intervention:
        """Put the mean over samples there."""
        return Intervention(self, Mean(of, per))

    def resample(
        self, of: From | None = None, permutation: Tensor | None = None, seed: int = 0
    ) -> Intervention:
        """Put there what another sample has."""
        return Intervention(self, Resample(of, permutation, seed))

    def interchange(self, source: From, pos: Index = None) -> Intervention:
        """Put there what another run has."""
        return Intervention(self, Interchange(source, pos))

    def project_out(self) -> Intervention:
        """Take away what lies along the site's direction."""
        return Intervention(self, ProjectOut())

    def freeze(self) -> Intervention:
        """Keep what the run has without any intervention."""
        return Intervention(self, Freeze())

    def apply(self, function: Callable[[Tensor], Tensor]) -> Intervention:
        """Put there what `function` makes of it."""
        return Intervention(self, Apply(function))

    def _hooks(self, name: str, model: HookedTransformer) -> dict[int | None, str]:
        if name in model.hook_dict:
            if self.layer is None:
                return {None: name}
            if name.startswith("blocks."):
                raise HookError(
                    wanted=f"the name {name!r} alone, which says its layer",
                    got=f"layer {self.layer} with it",
                    remedy="leave layer out",
                )
        layers = _layers(self.layer, model.cfg.n_layers)
        found = {layer: _in_layer(name, layer, model) for layer in layers}
        if not found or all(hook is None for hook in found.values()):
            return {None: _outside(name, self.layer, model)}
        missing = [layer for layer, hook in found.items() if hook is None]
        if missing and self.layer is not None:
            raise HookError(
                wanted=f"a site {name!r} in layer {missing[0]}",
                got="none there",
                remedy="leave that layer out, or layer=None for every layer that has it",
            )
        return {layer: hook for layer, hook in found.items() if hook is not None}


@final
@dataclass(frozen=True, eq=False)
class Intervention:
    """An operation at a site."""

    site: Site
    operation: Operation

    def __post_init__(self) -> None:
        if isinstance(self.operation, ProjectOut) and self.site.direction is None:
            raise InputError(
                wanted="a direction or subspace to project out",
                got="a site without one",
                remedy="write Site(..., direction=vector).project_out()",
            )


# A function at a hook, as in run_with_hooks, stands beside interventions.
Change = Intervention | tuple[str, HookFunction]


def _layers(layer: Layers, n_layers: int) -> list[int]:
    match layer:
        case None:
            return list(range(n_layers))
        case slice():
            return list(range(n_layers))[layer]
        case int():
            layers = [layer]
        case _:
            layers = list(layer)
    for one in layers:
        if not -n_layers <= one < n_layers:
            raise InputError(
                wanted=f"a layer from {-n_layers} to {n_layers - 1}", got=str(one), remedy="name another"
            )
    return [one % n_layers for one in layers]


def _in_layer(name: str, layer: int, model: HookedTransformer) -> str | None:
    full = f"blocks.{layer}.{name}"
    if full in model.hook_dict:
        return full
    try:
        full = get_act_name(name, layer)
    except InputError:
        return None
    return full if full in model.hook_dict else None


def _outside(name: str, layer: Layers, model: HookedTransformer) -> str:
    """The hook that `name` means outside of layers."""
    try:
        full = get_act_name(name)
    except InputError:
        full = name
    if full not in model.hook_dict or layer is not None:
        known = set(model.hook_dict) | {_short(hook) for hook in model.hook_dict}
        raise HookError(
            wanted="the name of a hook of this model, or of one in each layer",
            got=repr(name) + ("" if layer is None else f" in layer {layer}"),
            remedy=f"nearest: {nearest(name, sorted(known))}",
        )
    return full


def _short(hook: str) -> str:
    return hook.rpartition(".")[2].removeprefix("hook_")
