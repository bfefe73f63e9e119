"""Activation patching."""

from __future__ import annotations

from unweave.analysis.patching import *  # noqa: F403
