"""Running as users do, who have no shape checks: what the checks would catch, our errors must tell."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import jaxtyping


@contextmanager
def as_users_run() -> Generator[None]:
    """Within the block, annotations are not checked."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
