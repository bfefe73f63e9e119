"""`unweave.analysis.lens` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import lens
from unweave.analysis.lens import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = lens
