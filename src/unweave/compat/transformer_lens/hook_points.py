"""Places where functions may be attached."""

from __future__ import annotations

from unweave.core.hook_point import HookPoint
from unweave.core.hooked_module import HookedRootModule

__all__ = ["HookPoint", "HookedRootModule"]
