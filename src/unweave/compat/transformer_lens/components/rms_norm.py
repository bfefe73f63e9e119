"""RMS norm."""

from __future__ import annotations

from unweave.model.norm import RMSNorm

__all__ = ["RMSNorm"]
