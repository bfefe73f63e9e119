"""`unweave.analysis.paths` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import paths
from unweave.analysis.paths import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = paths
