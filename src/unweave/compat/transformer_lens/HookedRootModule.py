"""A module that can be run with hooks or a cache, which warns where Unweave refuses."""

from __future__ import annotations

from typing import Any

from unweave.compat.warned import warn
from unweave.core.errors import HookError
from unweave.core.hook_point import HookPoint
from unweave.core.hook_table import NameFilter
from unweave.core.hooked_module import HookedRootModule as StrictRootModule


class HookedRootModule(StrictRootModule):
    """`unweave.HookedRootModule`, which warns, and goes on as TransformerLens 3.9 does, where that raises.

    Of a filter that matches nothing, a hook that never fired, an answer of another shape or dtype,
    and `bwd_hooks` that are gone before a backward pass.
    """

    is_caching = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def setup(self) -> None:
        """Name every module by its path, and find the HookPoints; to be called at the end of `__init__`."""
        super().setup()
        for name, module in self.named_modules():
            # Of a module that has something else under that name, it stays.
            if name and not hasattr(module, "name"):
                module.name = name  # pyright: ignore[reportArgumentType]
        for point in self.hook_points():
            point.heard = warn

    def refused(self, error: HookError) -> None:
        """Warn of hooks that never fired."""
        warn(error)

    def points(self, names: NameFilter) -> list[HookPoint]:
        """The points that `names` picks; a single name must be one, of others those that are none are left out."""
        try:
            return super().points(names)
        except HookError as error:
            if isinstance(names, str):
                raise
            warn(error)
        known = [] if names is None or callable(names) else [name for name in names if name in self.hook_dict]
        return super().points(known) if known else []

    def run_with_hooks(
        self,
        *model_args: Any,
        bwd_hooks: Any = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **kwargs: Any,
    ) -> Any:
        """See `unweave.HookedRootModule.run_with_hooks`."""
        if bwd_hooks and reset_hooks_end:
            warn("bwd_hooks of run_with_hooks are gone before any backward pass, and do nothing")
            bwd_hooks = ()
        how = {"reset_hooks_end": reset_hooks_end, "clear_contexts": clear_contexts and reset_hooks_end}
        return super().run_with_hooks(*model_args, bwd_hooks=bwd_hooks, **how, **kwargs)

    def run_with_cache(self, *model_args: Any, names_filter: NameFilter = None, **kwargs: Any) -> Any:
        """See `unweave.HookedRootModule.run_with_cache`; of names that there are not, a warning."""
        names = [names_filter] if isinstance(names_filter, str) else names_filter
        return super().run_with_cache(*model_args, names_filter=names, **kwargs)


__all__ = ["HookedRootModule"]
