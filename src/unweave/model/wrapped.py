"""Hooks on any torch module: the inputs and outputs of its submodules, by their paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from weakref import WeakSet

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from unweave.core.errors import HookError, nearest
from unweave.core.hooks import Direction, Hook, HookFunction, HookPoint, NameFilter
from unweave.model.leaves import changed, leaves
from unweave.model.module_cache import ModuleCache, Recorder
from unweave.model.places import Place


@dataclass(eq=False)
class Listener:
    """A hook function or a recorder, at one name or wherever a predicate says so.

    Args:
        place: what the name means; None if there is a predicate.
        depth: if given, deaf to runs nested deeper, which a hook function may start.
    """

    asked: str
    place: Place | None
    wanted: Callable[[str], bool]
    hear: Callable[[Listener, Place, Tensor], Tensor]
    depth: int | None = None
    heard: int = 0

    def concerns(self, path: str, end: str | None = None) -> bool:
        """Whether it may want something of this module: of its inputs ("in") or outputs ("out")."""
        return self.place is None or (self.place.path == path and end in (None, self.place.end))

    def picks(self, place: Place) -> bool:
        """Whether it wants the tensor at this place of a module that concerns it."""
        if self.place is None:
            return self.wanted(place.named(numbered=False))
        return self.place.address == place.address


@dataclass(eq=False)
class Calls:
    """One run, begun by a call of the module `root`: calls so far, and those that are not over."""

    root: str
    begun: Counter[str] = field(default_factory=Counter[str])
    open: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


class WrappedModule(nn.Module):
    """`module` with names for what goes into and comes out of each of its submodules.

    `layer1.0.conv1.out` is what the submodule at that path returns, and `layer1.0.conv1.in` its only
    positional argument, if that is a tensor; `in` and `out` are those of the whole. Parts have an
    address: `lstm.out[1][0]`, `in[input_ids]` for a keyword argument, `attn.in[0]` for the first of
    several positional ones, `out[logits]` for an entry of a dict or a field of a dataclass or named
    tuple. `relu@1.out` is of the second call in a run; a name without a number is an error when
    there is a second call. The module itself is not changed: torch's hooks are on it only while
    someone listens, and it may be run through the wrapper or directly.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._listeners: list[Listener] = []
        self._handles: dict[str, list[RemovableHandle]] = {}
        self._runs: list[Calls] = []

    @property
    def hook_names(self) -> list[str]:
        """The names of all inputs and outputs, without the addresses that only a run can tell."""
        return [Place(path, end).named(numbered=False) for path in self._paths() for end in ("in", "out")]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns, as the hooks leave it."""
        depth = len(self._runs)
        try:
            return self.module(*args, **kwargs)
        finally:
            # Ctrl-C ends a run without its last hook.
            del self._runs[depth:]

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
        bwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
    ) -> Generator[Self]:
        """Within the block these hooks are on; after it they, and only they, are gone.

        A predicate is asked about names without a call's number, and picks every call; the point
        that a function is handed is called `relu.out` in the first call, `relu@1.out` in the second.

        Raises:
            HookError: for a name of no submodule, for one that a run proves not to be of a tensor,
                or of several calls, for a replacement of another shape or dtype, and, when the
                block ends without another error, for a hook that never fired.
        """
        added: WeakSet[Hook] = WeakSet()
        listeners = [
            *(one for names, function in fwd_hooks for one in self._hooked(names, function, "fwd", added)),
            *(one for names, function in bwd_hooks for one in self._hooked(names, function, "bwd", added)),
        ]
        try:
            with self._listening(listeners):
                yield self
            _require_heard(listeners, "every hook to fire at least once")
        finally:
            # A graph may outlive the block.
            for hook in tuple(added):
                hook.remove()

    def run_with_hooks(
        self,
        *args: Any,
        fwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
        bwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
        **kwargs: Any,
    ) -> Any:
        """One forward run with these hooks on, gone whatever happens.

        Raises:
            HookError: as `hooks`, and for backward hooks, which would be gone before any backward pass.
        """
        if list(bwd_hooks):
            raise HookError(
                wanted="forward hooks only",
                got="bwd_hooks in run_with_hooks, which would be gone before any backward pass",
                remedy="write `with wrapped.hooks(bwd_hooks=...)` around the run and its backward()",
            )
        with self.hooks(fwd_hooks=fwd_hooks):
            return self(*args, **kwargs)

    def run_with_cache(
        self, *args: Any, names_filter: NameFilter = None, detach: bool = True, **kwargs: Any
    ) -> tuple[Any, ModuleCache]:
        """One forward run and the tensors at the names that `names_filter` picks (None: all).

        Args:
            detach: True keeps copies. False keeps the tensors themselves, so that gradients with
                respect to them work.

        Raises:
            HookError: as `hooks`; and with `detach=False` for a tensor that a module changed in place.
        """
        recorder = Recorder(detach)

        def keep(listener: Listener, place: Place, tensor: Tensor) -> Tensor:
            listener.heard += 1
            recorder.keep(place, listener.asked if listener.place else None, tensor)
            return tensor

        listeners = self._at(names_filter, keep, depth=len(self._runs) + 1)
        with self._listening(listeners):
            output = self(*args, **kwargs)
        _require_heard(listeners, "a run that reaches every name")
        return output, recorder.cache()

    def _hooked(
        self, names: NameFilter, function: HookFunction, direction: Direction, added: WeakSet[Hook]
    ) -> list[Listener]:
        if not callable(function):
            raise HookError(
                wanted=f"a function for the hook at {names}",
                got=type(function).__name__,
                remedy="pass a list of pairs (name, function)",
            )

        def hear(listener: Listener, place: Place, tensor: Tensor) -> Tensor:
            def counted(tensor: Tensor, /, *, hook: HookPoint) -> Tensor | None:
                listener.heard += 1
                return function(tensor, hook=hook)

            # One for this tensor, since its name is known only now; a graph may keep it alive.
            point = HookPoint()
            point.name = listener.asked if listener.place else place.named(numbered=bool(place.call))
            added.add(point.add_hook(counted, direction))
            return point(tensor)

        return self._at(names, hear)

    def _at(
        self,
        names: NameFilter,
        hear: Callable[[Listener, Place, Tensor], Tensor],
        depth: int | None = None,
    ) -> list[Listener]:
        """One listener for each name, or one for the whole filter."""
        if names is None or callable(names):
            return [Listener("what the filter picks", None, names or (lambda _: True), hear, depth)]
        asked = list(dict.fromkeys([names] if isinstance(names, str) else names))
        if not asked:
            raise HookError(
                wanted="a filter that matches at least one hook name",
                got="one that matches none",
                remedy=f"names look like {', '.join(self.hook_names[:3])}",
            )
        return [Listener(name, self._place(name), lambda _: True, hear, depth) for name in asked]

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
                    tensor = listener.hear(listener, place.at(address), tensor)
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


def _require_heard(listeners: list[Listener], wanted: str) -> None:
    silent = [listener.asked for listener in listeners if not listener.heard]
    if silent:
        raise HookError(
            wanted=wanted,
            got=f"no run that reached {', '.join(silent[:3])}",
            remedy="run the module inside the block, and name modules that it calls",
        )
