"""The one logger. Quiet by default: a library never prints, and warns only through here."""

from __future__ import annotations

import logging

log = logging.getLogger("unweave")
log.addHandler(logging.NullHandler())
