"""`unweave.analysis.circuits` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import circuits
from unweave.analysis.circuits import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = circuits
