"""Memory that a training step frees and the next one takes up again."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator
from contextlib import contextmanager

# What mallopt's first argument means, from glibc's malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
NEVER, MAPPINGS, LARGEST_BLOCK = -1, 65536, 32 * 2**20


@contextmanager
def kept_memory() -> Generator[None]:
    """Within the block, memory that tensors on the CPU free stays with the process, for the next ones.

    glibc gives every block over 32 MB back to the system as soon as it is free, and each time it is
    taken anew the system zeroes it page by page. A training step frees and takes as much as the
    model has parameters: for the shape of GPT-2 small this was a third of its time. Afterwards what
    is free goes back, and glibc has the thresholds that it arrives at by itself once a block of
    32 MB was freed (mallopt(3)). Without glibc the block changes nothing.
    """
    glibc = _glibc()
    if glibc is None:
        yield
        return
    mallopt, trim = glibc
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        mallopt(MMAP_MAX, MAPPINGS)
        mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(TRIM_THRESHOLD, 2 * LARGEST_BLOCK)
        trim(0)


def _glibc() -> tuple[Callable[[int, int], int], Callable[[int], int]] | None:
    try:
        process = ctypes.CDLL(None)
        # musl, for one, has neither.
        _ = process.gnu_get_libc_version
        return process.mallopt, process.malloc_trim
    except (OSError, TypeError, AttributeError):
        return None
