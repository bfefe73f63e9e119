"""A module that can be run with hooks or a cache."""

from __future__ import annotations

from unweave.core.hooked_module import HookedRootModule

__all__ = ["HookedRootModule"]
