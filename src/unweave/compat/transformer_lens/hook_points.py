"""Places where functions may be attached."""

from __future__ import annotations

from unweave.compat.transformer_lens.HookedRootModule import HookedRootModule
from unweave.core.hook_point import Hook as LensHandle
from unweave.core.hook_point import HookFunction, HookPoint
from unweave.core.hook_table import NameFilter as NamesFilter

__all__ = ["HookFunction", "HookPoint", "HookedRootModule", "LensHandle", "NamesFilter"]
