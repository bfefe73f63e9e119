"""Modules of TransformerLens 3.9 that are not here as a whole, and why.

The page "Coming from TransformerLens" has the same list; a test compares the two.
"""

from __future__ import annotations

MISSING: dict[str, str] = {}
