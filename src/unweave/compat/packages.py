"""Packages that only some need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unweave.core.errors import InputError


def package(name: str, what_for: str) -> Any:
    """The package, or a module in it.

    Raises:
        InputError: if it isn't installed.
    """
    whole = name.partition(".")[0]
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            wanted=f"the package {whole}, {what_for}", got="it isn't installed", remedy=f"pip install {whole}"
        ) from error


def load_dataset(*args: Any, **kwargs: Any) -> Any:
    """`datasets.load_dataset`.

    Raises:
        InputError: if `datasets` isn't installed.
    """
    return package("datasets", "to load a dataset of the hub").load_dataset(*args, **kwargs)
