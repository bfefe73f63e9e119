"""Configs."""

from __future__ import annotations

from unweave.compat.transformer_lens.config.hooked_transformer_config import HookedTransformerConfig

__all__ = ["HookedTransformerConfig"]
