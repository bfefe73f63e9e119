"""Who listens to a wrapped module, where, and which call of it a run has come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from unweave.core.hooks import HookPoint
from unweave.model.module_cache import Recorder
from unweave.model.places import Place


class StandingPoint(HookPoint):
    """The hooks at one name, or at all that a filter picks, in whichever runs there will be."""

    def __init__(
        self,
        name: str,
        place: Place | None,
        wanted: Callable[[str], bool],
        changed: Callable[[StandingPoint], None],
    ) -> None:
        super().__init__()
        self.name, self.place, self.wanted, self._changed = name, place, wanted, changed

    def changed(self) -> None:
        """Tell the module, which listens only where there are hooks."""
        self._changed(self)

    def under(self, name: str) -> HookPoint:
        """A point with these very hooks for one tensor, since its name is known only in a run."""
        point = HookPoint()
        point.name, point.ctx = name, self.ctx
        point.fwd_hooks, point.bwd_hooks = self.fwd_hooks, self.bwd_hooks
        return point


@dataclass(eq=False)
class Listener:
    """Hooks or a recorder, at one name or wherever a predicate says so.

    Args:
        place: what the name means; None if there is a predicate.
        point: the hooks.
        recorder: or the recorder, deaf to runs nested deeper than `depth`, which a hook function
            may start.
    """

    asked: str
    place: Place | None
    wanted: Callable[[str], bool]
    point: StandingPoint | None = None
    recorder: Recorder | None = None
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

    def hear(self, place: Place, tensor: Tensor) -> Tensor:
        """The tensor at a place that it picks, as the run goes on with it."""
        self.heard += 1
        if self.recorder is not None:
            return self.recorder.keep(place, self.asked if self.place else None, tensor)
        assert self.point is not None
        name = self.asked if self.place else place.named(numbered=bool(place.call))
        return self.point.under(name)(tensor)


@dataclass(eq=False)
class Calls:
    """One run, begun by a call of the module `root`: calls so far, and those that are not over."""

    root: str
    begun: Counter[str] = field(default_factory=Counter[str])
    open: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
