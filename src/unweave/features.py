"""`unweave.analysis.features` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import features
from unweave.analysis.features import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = features
