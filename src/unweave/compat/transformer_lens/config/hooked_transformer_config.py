"""The config, with 3.9's fields and defaults."""

from __future__ import annotations

from unweave.model.config import HookedTransformerConfig

__all__ = ["HookedTransformerConfig"]
