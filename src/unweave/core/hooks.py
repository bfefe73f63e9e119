"""The only hook code: points in a model at which functions may read or replace a tensor."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NoReturn, Protocol, Self, runtime_checkable

from torch import Tensor, nn

from unweave.core.errors import HookError, nearest


@runtime_checkable
class HookFunction(Protocol):
    """`fn(tensor, hook=point)`: return a replacement of the same shape and dtype, or None.

    A function may also edit the tensor in place: it is handed a copy of its own. A backward
    function is handed the gradient with respect to the tensor that left the point.
    """

    def __call__(self, tensor: Tensor, /, *, hook: HookPoint) -> Tensor | None:
        """Read, edit or replace `tensor`, which passes `hook`."""
        ...


NameFilter = str | Sequence[str] | Callable[[str], bool] | None
Direction = Literal["fwd", "bwd"]


class Hook:
    """One function at one point: what it does, how often it fired, and how to take it away."""

    def __init__(self, point: HookPoint, function: HookFunction, direction: Direction, edits: bool) -> None:
        self.point, self.function, self.direction, self.edits = point, function, direction, edits
        self.fired = 0

    def remove(self) -> None:
        """Take this hook, and no other, off its point."""
        hooks = self.point.fwd_hooks if self.direction == "fwd" else self.point.bwd_hooks
        if self in hooks:
            hooks.remove(self)


class HookPoint(nn.Module):
    """An identity with a name. Unused, it costs one attribute look-up.

    Args:
        on_demand: the model computes this tensor only if a hook names it.
    """

    def __init__(self, on_demand: bool = False) -> None:
        super().__init__()
        self.name: str = "(not in a model)"
        self.on_demand = on_demand
        self.fwd_hooks: list[Hook] = []
        self.bwd_hooks: list[Hook] = []

    @property
    def active(self) -> bool:
        """Whether anyone reads or edits here."""
        return bool(self.fwd_hooks or self.bwd_hooks)

    def add_hook(self, function: HookFunction, dir: Direction = "fwd", *, edits: bool = True) -> Hook:
        """Attach `function`; hooks run in the order in which they came.

        Args:
            edits: False promises that `function` neither returns nor changes a tensor, and
                saves the copy that protects other sites from an edit in place.
        """
        if not callable(function):
            raise HookError(
                wanted=f"a function for the hook at {self.name}",
                got=type(function).__name__,
                remedy="pass a list of pairs (name, function)",
            )
        hook = Hook(self, function, dir, edits)
        (self.fwd_hooks if dir == "fwd" else self.bwd_hooks).append(hook)
        return hook

    def remove_hooks(self) -> None:
        """Take away every hook at this point."""
        self.fwd_hooks.clear()
        self.bwd_hooks.clear()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise HookError(
            wanted=f"a hook attached to {self.name} by add_hook",
            got="one of torch.nn.Module's, which would never fire",
            remedy="write point.add_hook(fn), where fn(tensor, hook=point)",
        )

    register_forward_hook = register_forward_pre_hook = _refuse
    register_full_backward_hook = register_full_backward_pre_hook = _refuse

    # nn.Module's own __call__ would cost more than a small model's matrix products.
    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor, as the hooks here leave it."""
        if self.fwd_hooks or self.bwd_hooks:
            return self._run(tensor)
        return tensor

    def _run(self, tensor: Tensor) -> Tensor:
        for hook in tuple(self.fwd_hooks):
            hook.fired += 1
            # A copy, since the residual stream is one tensor under several names.
            given = tensor.clone() if hook.edits else tensor
            returned = hook.function(given, hook=self)
            if hook.edits:
                tensor = given if returned is None else self._checked(returned, tensor)
        if self.bwd_hooks and tensor.requires_grad:
            # A view, since the tensor of the site before may be the same one: its hooks come after these.
            tensor = tensor.view_as(tensor)
            for hook in tuple(self.bwd_hooks):
                tensor.register_hook(self._backward(hook))
        return tensor

    def _backward(self, hook: Hook) -> Callable[[Tensor], Tensor | None]:
        def on_gradient(gradient: Tensor) -> Tensor | None:
            # The graph may outlive the hook.
            if hook not in self.bwd_hooks:
                return None
            hook.fired += 1
            given = gradient.clone() if hook.edits else gradient
            returned = hook.function(given, hook=self)
            if not hook.edits:
                return None
            return given if returned is None else self._checked(returned, gradient)

        return on_gradient

    def _checked(self, returned: Any, original: Tensor) -> Tensor:
        if not isinstance(returned, Tensor):
            raise HookError(
                wanted=f"a tensor or None from the hook at {self.name}",
                got=type(returned).__name__,
                remedy="return the edited tensor, or nothing to keep the edit made in place",
            )
        wanted, got = _described(original), _described(returned)
        if wanted != got:
            raise HookError(
                wanted=f"{wanted} from the hook at {self.name}",
                got=got,
                remedy="return a tensor of the shape, dtype and device that the hook was given",
            )
        return returned


class HookedRootModule(nn.Module):
    """A module whose HookPoints have names, and which can be run with hooks or a cache."""

    def setup(self) -> None:
        """Name every HookPoint by its path; to be called at the end of `__init__`."""
        self.hook_dict: dict[str, HookPoint] = {}
        for name, module in self.named_modules():
            if isinstance(module, HookPoint):
                module.name = name
                self.hook_dict[name] = module

    def points(self, names: NameFilter) -> list[HookPoint]:
        """The points that a name, a list of names or a predicate picks, in the model's order.

        Points that are computed on demand are picked by name, or by a predicate that leaves out
        some of the others; None, or a predicate that accepts everything, passes them by.

        Raises:
            HookError: if a name is not a hook of this model, or nothing matches.
        """
        if names is None or callable(names):
            found = {name for name in self.hook_dict if names is None or names(name)}
            ordinary = {name for name, point in self.hook_dict.items() if not point.on_demand}
            found = ordinary if ordinary <= found else found
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

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
        bwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
    ) -> Generator[Self]:
        """Within the block these hooks are on; after it they, and only they, are gone.

        Raises:
            HookError: for names that match nothing, and, when the block ends without another
                error, for a hook that never fired.
        """
        groups: list[list[Hook]] = []
        try:
            directions: tuple[Direction, Direction] = ("fwd", "bwd")
            for direction, pairs in zip(directions, (fwd_hooks, bwd_hooks), strict=True):
                for names, function in pairs:
                    added = [point.add_hook(function, direction) for point in self.points(names)]
                    # A filter may also pick points beyond stop_at_layer; a name is meant.
                    groups.extend([[hook] for hook in added] if _are_names(names) else [added])
            yield self
            _require_fired(groups)
        finally:
            for hook in (hook for group in groups for hook in group):
                hook.remove()

    def run_with_hooks(
        self,
        *args: Any,
        fwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
        bwd_hooks: Iterable[tuple[NameFilter, HookFunction]] = (),
        **kwargs: Any,
    ) -> Any:
        """One forward run with these hooks on, gone whatever happens.

        Backward hooks outlive the call only inside a `with model.hooks(bwd_hooks=...)` block,
        so they are refused here.
        """
        if list(bwd_hooks):
            raise HookError(
                wanted="forward hooks only",
                got="bwd_hooks in run_with_hooks, which would be gone before any backward pass",
                remedy="write `with model.hooks(bwd_hooks=...)` around the run and its backward()",
            )
        with self.hooks(fwd_hooks=fwd_hooks):
            return self(*args, **kwargs)

    def require_reached(self, names: NameFilter, reached: Container[str]) -> None:
        """Raise HookError if a run missed a hook that was named, or every hook that a filter picks."""
        asked = [point.name for point in self.points(names)]
        missed = [name for name in asked if name not in reached]
        if missed and (_are_names(names) or len(missed) == len(asked)):
            raise HookError(
                wanted=f"a run that reaches {missed[0]}",
                got="one that stopped before it",
                remedy="raise stop_at_layer, ask for logits, or leave the name out",
            )

    def reset_hooks(self) -> None:
        """Take away every hook, whoever added it."""
        for point in self.hook_dict.values():
            point.remove_hooks()

    @contextmanager
    def recording(self, names: NameFilter = None, *, detach: bool = True) -> Generator[dict[str, Tensor]]:
        """Within the block, the named activations of each run are kept in the yielded dict."""
        kept: dict[str, Tensor] = {}

        def keep(tensor: Tensor, /, *, hook: HookPoint) -> None:
            kept[hook.name] = tensor.detach() if detach else tensor

        points = self.points(names)
        added = [point.add_hook(keep, edits=False) for point in points]
        try:
            yield kept
        finally:
            for hook in added:
                hook.remove()


def _are_names(names: NameFilter) -> bool:
    return names is not None and not callable(names)


def _described(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}, {tensor.dtype}, {tensor.device}"


def _require_fired(groups: list[list[Hook]]) -> None:
    silent = [group[0].point.name for group in groups if not any(hook.fired for hook in group)]
    if silent:
        raise HookError(
            wanted="every hook to fire at least once",
            got=f"no run that reached {', '.join(silent[:3])}",
            remedy="run the model inside the block, and stop_at_layer after the hook",
        )
