"""`unweave.analysis.patching` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import patching
from unweave.analysis.patching import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = patching
