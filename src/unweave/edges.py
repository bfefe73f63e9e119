"""`unweave.analysis.edges` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import edges
from unweave.analysis.edges import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = edges
