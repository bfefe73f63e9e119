"""RMS norm without weights."""

from __future__ import annotations

from unweave.model.norm import RMSNormPre

__all__ = ["RMSNormPre"]
