"""Randomness from named seeds: every consumer owns a generator, the global state is left alone."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on `seed` and on every name, and on nothing else.

    Streams with different names are independent for all practical purposes, so that adding
    a consumer never shifts the numbers another one draws.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator seeded with `derive(seed, *names)`."""
    return torch.Generator().manual_seed(derive(seed, *names))
