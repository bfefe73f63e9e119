"""One writer a part: a lock that the system takes back from a process that dies."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from unweave.core.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold the lock file `path` within the block.

    Where the system has no `fcntl` nothing is locked, and two writers of one part go unnoticed.

    Raises:
        InputError: if another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    wanted=f"a part of {path.parent} that nobody else is writing",
                    got=f"{path.name}, which another process holds",
                    remedy="wait for it, or give each writer another part",
                ) from error
        yield
    finally:
        os.close(handle)
