"""`unweave.analysis.probes` under a shorter name: importing this gives that very module."""

import sys

from unweave.analysis import probes
from unweave.analysis.probes import *  # noqa: F403 - for type checkers and editors

sys.modules[__name__] = probes
