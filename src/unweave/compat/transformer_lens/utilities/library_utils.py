"""Which packages are there."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def is_library_available(name: str) -> bool:
    """Whether `import name` would find something; it is not imported."""
    return name in sys.modules or find_spec(name) is not None
