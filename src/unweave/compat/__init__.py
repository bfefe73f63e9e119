"""The module names that existing TransformerLens notebooks import."""

from __future__ import annotations

from unweave.compat.door import install, uninstall
from unweave.compat.warned import CompatWarning

__all__ = ["CompatWarning", "install", "uninstall"]
