"""The hookable transformer, with 3.9's defaults."""

from __future__ import annotations

from unweave.model.transformer import HookedTransformer

__all__ = ["HookedTransformer"]
