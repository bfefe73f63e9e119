"""Places where functions may be attached."""

from __future__ import annotations

from unweave.core.hook_point import Hook as LensHandle
from unweave.core.hook_point import HookFunction, HookPoint
from unweave.core.hook_table import HookTable as HookIntrospectionMixin
from unweave.core.hook_table import NameFilter as NamesFilter
from unweave.core.hooked_module import HookedRootModule

__all__ = [
    "HookFunction",
    "HookIntrospectionMixin",
    "HookPoint",
    "HookedRootModule",
    "LensHandle",
    "NamesFilter",
]
