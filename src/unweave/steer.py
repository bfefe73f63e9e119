"""`unweave.analysis.steer` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import steer
from unweave.analysis.steer import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = steer
