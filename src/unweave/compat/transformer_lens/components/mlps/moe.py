"""A mixture of experts."""

from __future__ import annotations

from unweave.model.experts import MoE

__all__ = ["MoE"]
