"""A module whose HookPoints have names: finding them, and attaching functions that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence, ValuesView

from torch import nn

from unweave.core.errors import HookError, nearest
from unweave.core.hook_point import Direction, Directions, Hook, HookFunction, HookPoint

NameFilter = str | Sequence[str] | Callable[[str], bool] | None


class HookTable(nn.Module):
    """The HookPoints of a module by name, and the hooks that persist on them.

    A persistent hook may never fire without anyone being told: `list_hooks` shows how often it did.
    """

    hook_dict: dict[str, HookPoint]

    def setup(self) -> None:
        """Name every HookPoint by its path; to be called at the end of `__init__`."""
        self.hook_dict = {}
        for name, module in self.named_modules():
            if isinstance(module, HookPoint):
                module.name = name
                self.hook_dict[name] = module

    @property
    def mod_dict(self) -> dict[str, nn.Module]:
        """Every module inside this one, by its path."""
        return {name: module for name, module in self.named_modules() if name}

    def hook_points(self) -> ValuesView[HookPoint]:
        """Every HookPoint, in the model's order."""
        return self.hook_dict.values()

    def points(self, names: NameFilter) -> list[HookPoint]:
        """The points that a name, a list of names or a predicate picks, in the model's order.

        Points that are computed on demand are picked by their names, or by a predicate that picks
        nothing else. One that picks ordinary points too (and None, which picks all of these) passes
        them by: `lambda name: "hook_q" in name` is not to cost what `hook_q_input` costs.

        Raises:
            HookError: if a name is not a hook of this model, or nothing matches.
        """
        if names is None or callable(names):
            found = {name for name in self.hook_dict if names is None or names(name)}
            found = {name for name in found if not self.hook_dict[name].on_demand} or found
        else:
            found = {names} if isinstance(names, str) else set(names)
        if not found:
            raise HookError(
                wanted="a filter that matches at least one hook name",
                got="one that matches none",
                remedy=f"names look like {', '.join(list(self.hook_dict)[:3])}",
            )
        unknown = sorted(found - self.hook_dict.keys())
        if unknown:
            raise HookError(
                wanted="the name of a hook of this model",
                got=repr(unknown[0]),
                remedy=f"nearest: {nearest(unknown[0], self.hook_dict)}",
            )
        return [point for name, point in self.hook_dict.items() if name in found]

    def add_hook(
        self,
        name: NameFilter,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> list[Hook]:
        """Attach a function to every point that `name` picks; it stays until it is removed.

        Args:
            name: a hook's name, a list of names, or a predicate on names.
            hook: see `HookFunction`.
            dir: "fwd" for the tensor, "bwd" for its gradient.
            is_permanent: survive `reset_hooks()`.
            level: a number by which `reset_hooks(level=…)` may pick it out.
            prepend: run before the hooks that are there, not after them.

        Raises:
            HookError: if `name` picks nothing; then nothing is attached.
        """
        added = [self._made(point, hook, dir, is_permanent, level, prepend) for point in self.points(name)]
        for one in added:
            one.attach(prepend)
        return added

    def add_perma_hook(self, name: NameFilter, hook: HookFunction, dir: Direction = "fwd") -> list[Hook]:
        """Attach a function that stays through `reset_hooks()`."""
        return self.add_hook(name, hook, dir, is_permanent=True)

    def check_and_add_hook(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """`add_hook` for one point, under the arguments that TransformerLens has for it."""
        self._made(hook_point, hook, dir, is_permanent, level, prepend).attach(prepend)

    def check_hooks_to_add(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        prepend: bool = False,
    ) -> None:
        """Override to refuse a hook by raising HookError; called before any hook is attached."""

    def list_hooks(
        self, name_filter: NameFilter = None, dir: Directions = "both", including_permanent: bool = True
    ) -> dict[str, list[Hook]]:
        """The hooks that are on, by the name of their point: each says how often it fired.

        Raises:
            HookError: for a name that is not a hook of this model.
        """
        if name_filter is None or callable(name_filter):
            accepts = name_filter or (lambda _: True)
            names = [name for name in self.hook_dict if accepts(name)]
        else:
            names = [point.name for point in self.points(name_filter)]
        found = {name: self.hook_dict[name].picked(dir, including_permanent) for name in names}
        return {name: hooks for name, hooks in found.items() if hooks}

    def remove_all_hook_fns(
        self, direction: Directions = "both", including_permanent: bool = False, level: int | None = None
    ) -> None:
        """Take away the hooks of this direction and level, whoever added them; None is any level."""
        # A point may leave the table with its last hook.
        for point in tuple(self.hook_points()):
            point.remove_hooks(direction, including_permanent, level)

    def reset_hooks(
        self,
        clear_contexts: bool = True,
        direction: Directions = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Take hooks away, whoever added them, and by default forget every point's `ctx`."""
        if clear_contexts:
            self.clear_contexts()
        self.remove_all_hook_fns(direction, including_permanent, level)

    def clear_contexts(self) -> None:
        """Forget what hook functions kept in the `ctx` of every point."""
        for point in self.hook_points():
            point.clear_context()

    def _made(
        self,
        point: HookPoint,
        function: HookFunction,
        direction: Direction,
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> Hook:
        hook = Hook(point, function, direction, is_permanent=is_permanent, context_level=level)
        self.check_hooks_to_add(
            point, point.name, function, dir=direction, is_permanent=is_permanent, prepend=prepend
        )
        return hook


def are_names(names: NameFilter) -> bool:
    """Whether hooks are named one by one, so that each of them is meant."""
    return names is not None and not callable(names)
