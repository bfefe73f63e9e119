"""`unweave.analysis.scrub` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import scrub
from unweave.analysis.scrub import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = scrub
