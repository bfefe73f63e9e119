"""The only hook code, by its public names: points, the functions on them, and modules that have them."""

from __future__ import annotations

from unweave.core.hook_point import Direction, Directions, Hook, HookFunction, HookPoint, excuse
from unweave.core.hook_table import NameFilter
from unweave.core.hooked_module import HookedRootModule
from unweave.core.recorder import Recorder

__all__ = [
    "Direction",
    "Directions",
    "Hook",
    "HookFunction",
    "HookPoint",
    "HookedRootModule",
    "NameFilter",
    "Recorder",
    "excuse",
]
