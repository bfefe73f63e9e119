"""What a step ran on and from: device, seeds, versions. Nothing is imported or begun for it."""

from __future__ import annotations

import hashlib
import platform
import random
import sys
from array import array
from contextlib import suppress
from functools import cache
from importlib import metadata
from typing import Any

PACKAGES = ("unweave", "torch", "numpy", "transformers", "ipython", "ipykernel")


@cache
def versions() -> dict[str, str]:
    """Those of Python and of the packages that decide what comes out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def seeds() -> dict[str, Any]:
    """The state of each global random generator that is loaded, as a fingerprint; of torch, the seed as well.

    The same fingerprint twice means: the same numbers will be drawn.
    """
    version, numbers, spare = random.getstate()
    state = array("Q", numbers).tobytes() + repr((version, spare)).encode()
    found: dict[str, Any] = {"python": _fingerprint(state)}
    numpy, torch = _loaded("numpy"), _loaded("torch")
    with suppress(Exception):
        if numpy is not None:
            kind, keys, place, *rest = numpy.random.get_state()
            found["numpy"] = _fingerprint(f"{kind} {place} {rest}".encode() + keys.tobytes())
    with suppress(Exception):
        if torch is not None:
            found["torch_seed"] = torch.initial_seed()
            found["torch"] = _fingerprint(torch.get_rng_state().numpy().tobytes())
    return found


def device() -> str:
    """The accelerator that is in use, else "cpu"; one that nothing has been put on is not asked for."""
    torch = _loaded("torch")
    with suppress(Exception):
        if torch is not None and torch.cuda.is_initialized():
            return _accelerator(torch, torch.cuda.current_device())
    return "cpu"


@cache
def _accelerator(torch: Any, index: int) -> str:
    return f"cuda:{index} {torch.cuda.get_device_name(index)}"


def _loaded(name: str) -> Any:
    """A package that is loaded in full."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if module is None or getattr(spec, "_initializing", False) else module


def _fingerprint(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()[:16]
