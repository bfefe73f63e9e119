"""Hooks on any torch module: the inputs and outputs of its submodules, by their paths."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from unweave.core.errors import HookError, nearest
from unweave.core.hook_blocks import Group, HookBlocks
from unweave.core.hooks import HookPoint, NameFilter
from unweave.model.leaves import changed, leaves
from unweave.model.listeners import Calls, Listener, StandingPoint
from unweave.model.module_cache import ModuleCache, Recorder
from unweave.model.places import Place


class WrappedModule(HookBlocks):
    """`module` with names for what goes into and comes out of each of its submodules.

    `layer1.0.conv1.out` is what the submodule at that path returns, and `layer1.0.conv1.in` its only
    positional argument, if that is a tensor; `in` and `out` are those of the whole. Parts have an
    address: `lstm.out[1][0]`, `in[input_ids]` for a keyword argument, `attn.in[0]` for the first of
    several positional ones, `out[logits]` for an entry of a dict or a field of a dataclass or named
    tuple. `relu@1.out` is of the second call in a run; a name without a number is an error when
    there is a second call.

    `hooks`, `run_with_hooks`, `add_hook`, `list_hooks` and `reset_hooks` are those of
    HookedTransformer. A predicate is asked about names without a call's number, and picks every
    call; the point that a function is handed is called `relu.out` in the first call, `relu@1.out`
    in the second. At one tensor, the hooks of one name run in their order, one name or filter after
    the other. They raise HookError also for a name that a run proves not to be of a tensor, or of
    several calls.

    The module itself is not changed: torch's hooks are on it only while someone listens, and it may
    be run through the wrapper or directly.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        # The points that were asked for, by name; without hooks they go.
        self.hook_dict = {}
        self._listeners: list[Listener] = []
        self._handles: dict[str, list[RemovableHandle]] = {}
        self._runs: list[Calls] = []

    @property
    def hook_names(self) -> list[str]:
        """The names of all inputs and outputs, without the addresses that only a run can tell."""
        return [Place(path, end).named(numbered=False) for path in self._paths() for end in ("in", "out")]

    @property
    def mod_dict(self) -> dict[str, nn.Module]:
        """Every module inside the wrapped one, by its path."""
        return {path: module for path, module in self._paths().items() if path}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns, as the hooks leave it."""
        depth = len(self._runs)
        try:
            return self.module(*args, **kwargs)
        finally:
            # Ctrl-C ends a run without its last hook.
            del self._runs[depth:]

    def points(self, names: NameFilter) -> list[HookPoint]:
        """A point for each name, and one for a filter, with the hooks that are there.

        Raises:
            HookError: for a name of no submodule, or none at all.
        """
        return [self._standing(asked, place, wanted) for asked, place, wanted in self._asked(names)]

    def run_with_cache(
        self,
        *args: Any,
        names_filter: NameFilter = None,
        remove_batch_dim: bool = False,
        detach: bool = True,
        **kwargs: Any,
    ) -> tuple[Any, ModuleCache]:
        """One forward run and the tensors at the names that `names_filter` picks (None: all).

        Args:
            remove_batch_dim: drop the first dimension of each, which must then be 1.
            detach: True keeps copies. False keeps the tensors themselves, so that gradients with
                respect to them work.

        Raises:
            HookError: as `hooks`; and with `detach=False` for a tensor that a module changed in place.
            InputError: for a tensor that `remove_batch_dim` doesn't fit.
        """
        recorder = Recorder(detach, remove_batch_dim)
        depth = len(self._runs) + 1
        listeners = [
            Listener(asked, place, wanted, recorder=recorder, depth=depth)
            for asked, place, wanted in self._asked(names_filter)
        ]
        with self._listening(listeners):
            output = self(*args, **kwargs)
        _require_heard(listeners)
        return output, recorder.cache()

    def _asked(self, names: NameFilter) -> list[tuple[str, Place | None, Callable[[str], bool]]]:
        """Each name with the place that it means, or the whole filter."""
        if names is None or callable(names):
            asked, number = "what the filter picks", 2
            while asked in self.hook_dict:
                asked, number = f"what filter {number} picks", number + 1
            return [(asked, None, names or (lambda _: True))]
        each = list(dict.fromkeys([names] if isinstance(names, str) else names))
        if not each:
            raise HookError(
                wanted="a filter that matches at least one hook name",
                got="one that matches none",
                remedy=f"names look like {', '.join(self.hook_names[:3])}",
            )
        return [(str(name), self._place(name), lambda _: True) for name in each]

    def _standing(self, asked: str, place: Place | None, wanted: Callable[[str], bool]) -> HookPoint:
        # Here already, since the next one asked for must be told from it.
        if asked not in self.hook_dict:
            self.hook_dict[asked] = StandingPoint(asked, place, wanted, self._rearranged)
        return self.hook_dict[asked]

    def _rearranged(self, point: StandingPoint) -> None:
        """Listen for a point that has hooks, and no longer for one that has none."""
        known = [listener for listener in self._listeners if listener.point is point]
        if point.active and not known:
            self.hook_dict.setdefault(point.name, point)
            self._listeners.append(Listener(point.name, point.place, point.wanted, point=point))
        elif not point.active:
            if self.hook_dict.get(point.name) is point:
                del self.hook_dict[point.name]
            for listener in known:
                self._listeners.remove(listener)
        self._attach()

    @contextmanager
    def _on(
        self, groups: Sequence[Group], reset_hooks_end: bool = True, clear_contexts: bool = False
    ) -> Generator[None]:
        depth = len(self._runs)
        try:
            with super()._on(groups, reset_hooks_end, clear_contexts):
                yield
        finally:
            # Ctrl-C ends a run without its last hook.
            del self._runs[depth:]

    def _place(self, name: str) -> Place:
        place, paths = Place.parsed(str(name)), self._paths()
        if place is not None and place.path in paths:
            return place
        remedy = f"nearest: {nearest(str(name), self.hook_names)}"
        shared = dict(self.module.named_modules(remove_duplicate=False)).get(place.path) if place else None
        if shared is not None:
            first = next(path for path, module in paths.items() if module is shared)
            remedy = f"it is the same module as {first!r}: write that path, with the number of the call"
        raise HookError(wanted="the name of a hook of this module", got=repr(name), remedy=remedy)

    def _paths(self) -> dict[str, nn.Module]:
        # Asked anew each time: the user may add or replace submodules.
        return dict(self.module.named_modules())

    @contextmanager
    def _listening(self, listeners: list[Listener]) -> Generator[None]:
        depth = len(self._runs)
        self._listeners.extend(listeners)
        try:
            self._attach()
            yield
        finally:
            del self._runs[depth:]
            for listener in listeners:
                self._listeners.remove(listener)
            self._attach()

    def _attach(self) -> None:
        """Put torch's own hooks where someone listens, and nowhere else."""
        # The whole module's calls tell where a run begins and ends.
        wanted = {
            path: module
            for path, module in self._paths().items()
            if self._listeners and (not path or any(one.concerns(path) for one in self._listeners))
        }
        for path in self._handles.keys() - wanted.keys():
            for handle in self._handles.pop(path):
                handle.remove()
        for path in wanted.keys() - self._handles.keys():
            before, after = self._watchers(path)
            self._handles[path] = [
                wanted[path].register_forward_pre_hook(before, with_kwargs=True),
                wanted[path].register_forward_hook(after, always_call=True),
            ]

    def _watchers(self, path: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not path or not self._runs:
                self._runs.append(Calls(path))
            calls = self._runs[-1]
            number = calls.begun[path]
            calls.begun[path] += 1
            calls.open.setdefault(path, []).append(number)
            # A lone tensor needs no address.
            lone = len(args) == 1 and isinstance(args[0], Tensor)
            positional = {"" if lone else f"[{i}]": value for i, value in enumerate(args)}
            named = {f"[{key}]": value for key, value in kwargs.items()}
            passed = self._passed(Place(path, "in", call=number), {**positional, **named})
            return tuple(passed[: len(args)]), dict(zip(kwargs, passed[len(args) :], strict=True))

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            calls = self._runs[-1] if self._runs else None
            # Neither is there if someone began to listen in the middle of this call.
            if calls is None or not calls.open.get(path):
                return None
            number = calls.open[path].pop()
            try:
                # None also stands for a call that failed.
                return (
                    None if output is None else self._passed(Place(path, "out", call=number), {"": output})[0]
                )
            finally:
                if path == calls.root and not calls.open[path]:
                    self._runs.remove(calls)

        return before, after

    def _passed(self, place: Place, values: dict[str, Any]) -> list[Any]:
        """These values, whose addresses are the keys, as everyone who listens there leaves them."""
        listeners = [
            one
            for one in self._listeners
            if one.concerns(place.path, place.end)
            and one.depth in (None, len(self._runs))
            and (one.place is None or one.place.call in (None, place.call))
        ]
        for listener in listeners:
            _require_found(listener, place, values)

        def change(address: str, tensor: Tensor) -> Tensor:
            for listener in listeners:
                if listener.picks(place.at(address)):
                    tensor = listener.hear(place.at(address), tensor)
            return tensor

        return [changed(value, change, address) for address, value in values.items()]


def wrap(module: nn.Module) -> WrappedModule:
    """`module` with hooks and caching at the inputs and outputs of its submodules; see `WrappedModule`.

        wrapped = unweave.wrap(torchvision.models.resnet18())
        output, cache = wrapped.run_with_cache(images, names_filter="layer1.0.conv1.out")

    Raises:
        HookError: for what is no module.
    """
    if not isinstance(module, nn.Module):
        raise HookError(
            wanted="a torch.nn.Module to wrap",
            got=repr(module),
            remedy="pass the module itself, not its class or its forward",
        )
    return WrappedModule(module)


def _require_found(listener: Listener, place: Place, values: dict[str, Any]) -> None:
    """Raise HookError if a name without a number meets a second call, or its address holds no tensor."""
    asked = listener.place
    if asked is None:
        return
    if asked.call is None and place.call:
        numbered = [Place(place.path, place.end, asked.address, call).named(numbered=True) for call in (0, 1)]
        raise HookError(
            wanted=f"one call of {place.path} in a run, for the name {listener.asked!r}",
            got="a second one",
            remedy=f"write {numbered[0]!r} or {numbered[1]!r}, or a function of the name for every call",
        )
    there = [at for start, value in values.items() for at, _ in leaves(value, start)]
    if asked.address not in there:
        kinds = ", ".join(type(value).__name__ for value in values.values()) or "nothing"
        names = ", ".join(asked.at(address).named(numbered=asked.call is not None) for address in there[:6])
        raise HookError(
            wanted=f"a tensor at {listener.asked!r}",
            got=f"{kinds} with tensors at {names}" if names else f"{kinds}, with no tensor",
            remedy="write one of those names" if names else "hook another place",
        )


def _require_heard(listeners: list[Listener]) -> None:
    silent = [listener.asked for listener in listeners if not listener.heard]
    if silent:
        raise HookError(
            wanted="a run that reaches every name",
            got=f"no run that reached {', '.join(silent[:3])}",
            remedy="name modules that this one calls",
        )
