"""A place in a model at which functions may read or replace a tensor, and those functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, NoReturn, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from unweave.core.errors import HookError
from unweave.core.routed import Routed


@runtime_checkable
class HookFunction(Protocol):
    """`fn(tensor, hook=point)`: return a replacement of the same shape and dtype, or None.

    A function may also edit the tensor in place: it is handed a copy of its own. A backward
    function is handed the gradient with respect to the tensor that left the point. One with an
    attribute `only_reads = True` promises to do neither, and is spared the copy.
    """

    def __call__(self, tensor: Tensor, /, *, hook: HookPoint) -> Tensor | None:
        """Read, edit or replace `tensor`, which passes `hook`."""
        ...


# How deep each thread is in hook functions.
_stack = threading.local()

Direction = Literal["fwd", "bwd"]
Directions = Literal["fwd", "bwd", "both"]


class Hook:
    """One function at one point: what it does, how often it fired, and how to take it away.

    Attributes:
        is_permanent: whether `remove_hooks` and `reset_hooks` pass it by unless they are told not to.
        context_level: how many `hooks()` blocks it lies in, or the level that the user gave it.
        fired: how often it ran.
        attached: the number of tensors whose gradient it waits for, or waited for; backward hooks only.
        excused: whether a run left this point out on purpose.
    """

    def __init__(
        self,
        point: HookPoint,
        function: HookFunction,
        direction: Direction = "fwd",
        *,
        edits: bool = True,
        is_permanent: bool = False,
        context_level: int | None = None,
    ) -> None:
        if not callable(function):
            raise HookError(
                wanted=f"a function for the hook at {point.name}",
                got=type(function).__name__,
                remedy="pass a list of pairs (name, function)",
            )
        _require_choice(direction, get_args(Direction))
        self.point, self.function, self.direction = point, function, direction
        self.edits = edits and not getattr(function, "only_reads", False)
        self.is_permanent, self.context_level = is_permanent, context_level
        self.fired = self.attached = 0
        self.excused = False

    def __repr__(self) -> str:
        permanent = ", permanent" if self.is_permanent else ""
        times = "once" if self.fired == 1 else f"{self.fired} times"
        return f"Hook({self.point.name}, {self.direction}{permanent}, fired {times})"

    def attach(self, prepend: bool = False) -> None:
        """Put this hook on its point: after the hooks that are there, or before them."""
        hooks = self._neighbours()
        hooks.insert(0 if prepend else len(hooks), self)
        self.point.changed()

    def remove(self) -> None:
        """Take this hook, and no other, off its point; a second time does nothing."""
        hooks = self.point.fwd_hooks if self.direction == "fwd" else self.point.bwd_hooks
        # A run takes its hooks away twice, in case of a Ctrl-C in between: mostly there is nothing left.
        if hooks and self in hooks:
            hooks.remove(self)
        # Even if it was off already: a Ctrl-C may have come between the two.
        self.point.changed()

    def _neighbours(self) -> list[Hook]:
        return self.point.fwd_hooks if self.direction == "fwd" else self.point.bwd_hooks


class HookPoint(nn.Module):
    """An identity with a name. Unused, it costs one attribute look-up.

    Args:
        on_demand: the model computes this tensor only if a hook names it.

    Attributes:
        ctx: for hook functions to keep things in between calls, until `clear_context`.
        routed: of which tokens the rows are that pass here, where that is not every one; the model
            sets it before they do.
        heard: hears of an answer of another shape, dtype or device, which then passes; None: it is refused.
    """

    def __init__(self, on_demand: bool = False) -> None:
        super().__init__()
        self.name: str = "(not in a model)"
        self.on_demand = on_demand
        self.ctx: dict[Any, Any] = {}
        self.routed: Routed | None = None
        self.heard: Callable[[HookError], None] | None = None
        self.fwd_hooks: list[Hook] = []
        self.bwd_hooks: list[Hook] = []

    def extra_repr(self) -> str:
        """The name, and the hooks if there are any, for `repr`."""
        counts = [f"{len(h)} {d}" for d, h in (("fwd", self.fwd_hooks), ("bwd", self.bwd_hooks)) if h]
        return ", ".join([f"name={self.name!r}", *counts])

    @property
    def active(self) -> bool:
        """Whether anyone reads or edits here."""
        return bool(self.fwd_hooks or self.bwd_hooks)

    def changed(self) -> None:
        """Override to be told when a hook came or went."""

    def layer(self) -> int:
        """The layer of a point named `blocks.{layer}.…`.

        Raises:
            HookError: for a point that lies in no layer.
        """
        parts = self.name.split(".")
        if len(parts) < 2 or not parts[1].isdecimal():
            raise HookError(
                wanted="a hook that lies in a layer, named blocks.{layer}.…",
                got=self.name,
                remedy="ask for hook.name instead",
            )
        return int(parts[1])

    def add_hook(
        self,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        *,
        edits: bool = True,
    ) -> Hook:
        """Attach a function; it stays until it is removed.

        Args:
            is_permanent: survive `remove_hooks` and `reset_hooks`, unless these include permanent ones.
            level: a number by which they may pick this one out.
            prepend: run before the hooks that are there, not after them.
            edits: False promises that `hook` neither returns nor changes a tensor, and saves the
                copy that protects other sites from an edit in place.
        """
        added = Hook(self, hook, dir, edits=edits, is_permanent=is_permanent, context_level=level)
        added.attach(prepend)
        return added

    def add_perma_hook(self, hook: HookFunction, dir: Direction = "fwd") -> Hook:
        """Attach a function that stays through `reset_hooks()`."""
        return self.add_hook(hook, dir, is_permanent=True)

    def has_hooks(
        self, dir: Directions = "both", including_permanent: bool = True, level: int | None = None
    ) -> bool:
        """Whether a hook of this direction and level is here; None is any level."""
        return bool(self.picked(dir, including_permanent, level))

    def remove_hooks(
        self, dir: Directions = "fwd", including_permanent: bool = False, level: int | None = None
    ) -> None:
        """Take away the hooks of this direction and level; None is any level.

        TransformerLens ignores `level` when permanent hooks are included; here it counts.
        """
        for hook in self.picked(dir, including_permanent, level):
            hook.remove()

    def clear_context(self) -> None:
        """Forget what hook functions kept in `ctx`."""
        self.ctx = {}

    def picked(
        self, dir: Directions = "both", including_permanent: bool = True, level: int | None = None
    ) -> list[Hook]:
        """The hooks of this direction and level; None is any level."""
        _require_choice(dir, get_args(Directions))
        hooks = (self.fwd_hooks if dir != "bwd" else []) + (self.bwd_hooks if dir != "fwd" else [])
        return [
            hook
            for hook in hooks
            if (including_permanent or not hook.is_permanent) and level in (None, hook.context_level)
        ]

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
            returned = self._called(hook, given)
            if hook.edits:
                tensor = given if returned is None else self._checked(returned, tensor)
        if self.bwd_hooks and tensor.requires_grad and torch.is_grad_enabled():
            # A view, since the tensor of the site before may be the same one: its hooks come after these.
            tensor = tensor.view_as(tensor)
            for hook in tuple(self.bwd_hooks):
                hook.attached += 1
                tensor.register_hook(self._backward(hook))
        return tensor

    def _backward(self, hook: Hook) -> Callable[[Tensor], Tensor | None]:
        routed = self.routed

        def on_gradient(gradient: Tensor) -> Tensor | None:
            # The graph may outlive the hook.
            if hook not in self.bwd_hooks:
                return None
            hook.fired += 1
            # Another run may have come in between.
            self.routed = routed
            given = gradient.clone() if hook.edits else gradient
            returned = self._called(hook, given)
            if not hook.edits:
                return None
            return given if returned is None else self._checked(returned, gradient)

        return on_gradient

    def _called(self, hook: Hook, tensor: Tensor) -> Any:
        if not hook.edits:
            return hook.function(tensor, hook=self)
        depth = hook_depth()
        _stack.depth = depth + 1
        try:
            return hook.function(tensor, hook=self)
        finally:
            _stack.depth = depth

    def _checked(self, returned: Any, original: Tensor) -> Tensor:
        if not isinstance(returned, Tensor):
            raise HookError(
                wanted=f"a tensor or None from the hook at {self.name}",
                got=type(returned).__name__,
                remedy="return the edited tensor, or nothing to keep the edit made in place",
            )
        wanted, got = _described(original), _described(returned)
        if wanted != got:
            error = HookError(
                wanted=f"{wanted} from the hook at {self.name}",
                got=got,
                remedy="return a tensor of the shape, dtype and device that the hook was given",
            )
            if self.heard is None:
                raise error
            self.heard(error)
        return returned


def hook_depth() -> int:
    """How many hook functions are running, one inside a run that another began."""
    return getattr(_stack, "depth", 0)


def excuse(*modules: nn.Module) -> None:
    """Tell the hooks in these modules that this run leaves them out on purpose, and need not fire.

    For a model to call where it skips the layers that nobody asked for, or an expert that no
    token was routed to.
    """
    for module in modules:
        for point in module.modules():
            if isinstance(point, HookPoint):
                for hook in (*point.fwd_hooks, *point.bwd_hooks):
                    hook.excused = True


def _described(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}, {tensor.dtype}, {tensor.device}"


def _require_choice(direction: str, choices: tuple[str, ...]) -> None:
    if direction not in choices:
        raise HookError(
            wanted=f"a direction, one of {', '.join(map(repr, choices))}",
            got=repr(direction),
            remedy='write dir="fwd" for tensors, dir="bwd" for their gradients',
        )
