"""What the door says where TransformerLens says nothing."""

from __future__ import annotations

import inspect
import warnings

# A warning points at the first caller outside these packages: the line that the user wrote.
OURS = ("unweave", "torch", "contextlib")


class CompatWarning(UserWarning):
    """Something that Unweave refuses, and that was done as TransformerLens 3.9 does it."""


def warn(message: object, category: type[Warning] = CompatWarning) -> None:
    """Warn, at the line outside this package that led here."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(str(message), category, stacklevel=level)
