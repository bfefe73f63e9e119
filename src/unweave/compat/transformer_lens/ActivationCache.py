"""What a run was seen to compute."""

from __future__ import annotations

from unweave.model.cache import ActivationCache

__all__ = ["ActivationCache"]
