"""Every test runs under shape checking: a call or result that breaks its annotation raises."""

from __future__ import annotations

import sys

import hypothesis
from jaxtyping import install_import_hook

assert "unweave" not in sys.modules, "the hook must stand before unweave is imported"
install_import_hook("unweave", "beartype.beartype")

# No test is timed: the machine may be busy.
# `make test` draws the same examples each time; `make test-all` draws new ones.
hypothesis.settings.register_profile("unweave", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, print_blob=True)
hypothesis.settings.load_profile("unweave")
