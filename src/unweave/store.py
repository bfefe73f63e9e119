"""`unweave.analysis.store` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import store
from unweave.analysis.store import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = store
