"""Planted models, made once for all tests of a process that only read them."""

from __future__ import annotations

from functools import cache

from unweave import planted


@cache
def exact(name: str, decoys: int = 0, seed: int = 0) -> planted.PlantedModel:
    """In float64."""
    return planted.load(name, decoys=decoys, seed=seed, dtype="float64")
