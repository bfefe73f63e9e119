"""`unweave.analysis.das` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import das
from unweave.analysis.das import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = das
