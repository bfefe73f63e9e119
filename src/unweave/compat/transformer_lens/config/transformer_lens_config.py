"""The config's base class in 3.9, which here is the config itself."""

from __future__ import annotations

from unweave.compat.transformer_lens.config.hooked_transformer_config import (
    HookedTransformerConfig as TransformerLensConfig,
)

__all__ = ["TransformerLensConfig"]
