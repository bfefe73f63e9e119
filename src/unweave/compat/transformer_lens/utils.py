"""Helpers, under the module name they had before 3.0; 3.9 warns that it goes, this stays."""

from __future__ import annotations

from unweave.compat.transformer_lens.utilities import *  # noqa: F403
