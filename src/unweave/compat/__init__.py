"""The module names that existing TransformerLens notebooks import."""

from __future__ import annotations

from unweave.compat.door import install, uninstall

__all__ = ["install", "uninstall"]
