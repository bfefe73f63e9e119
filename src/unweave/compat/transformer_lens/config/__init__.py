"""Configs."""

from __future__ import annotations

from unweave.compat.transformer_lens.config.hooked_transformer_config import HookedTransformerConfig
from unweave.compat.transformer_lens.config.transformer_lens_config import TransformerLensConfig

__all__ = ["HookedTransformerConfig", "TransformerLensConfig"]
