"""Where the peer's Python is."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

VARIABLE = "UNWEAVE_TL_PYTHON"
PEER = ("transformer-lens", "3.9.0")
# The one after it, whose native bridge only the speed is compared with.
NEXT_VARIABLE = "UNWEAVE_TL4_PYTHON"
NEXT_PEER = ("transformer-lens", "4.3.0")


class PeerAbsent(Exception):
    """There is no usable environment with the peer; the message says how to make one."""


def peer_python(given: str | None = None, variable: str = VARIABLE, wanted: tuple[str, str] = PEER) -> Path:
    """The interpreter with transformer-lens 3.9.0, or the peer `wanted`: the one `given`, or else the one
    that the variable names.

    Raises:
        PeerAbsent: if there is none, it lacks the peer, or its torch is another than ours.
    """
    named = given or os.environ.get(variable)
    name, remedy = "==".join(wanted), _remedy(variable, wanted[1])
    if not named:
        raise PeerAbsent(f"no Python with {name} is named: {remedy}")
    # Not resolved: following the link of a virtual environment would leave it.
    python = Path(named).expanduser().absolute()
    question = f"from importlib.metadata import version as v; print(v({wanted[0]!r}), v('torch'))"
    try:
        asked = subprocess.run([python, "-c", question], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerAbsent(f"{python} is no Python with {wanted[0]}: {remedy}") from error
    peer, torch = asked.stdout.split()
    if peer != wanted[1] or _release(torch) != _release(version("torch")):
        needed = f"{name} with torch {_release(version('torch'))}"
        raise PeerAbsent(f"{python} has {wanted[0]}=={peer} with torch {torch}, not {needed}: {remedy}")
    return python


def _release(number: str) -> str:
    # Builds for a CPU and for CUDA are one release.
    return number.partition("+")[0]


def _remedy(variable: str, number: str) -> str:
    return f"run `sh bench/peers/make_environment.sh FOLDER {number}` and set {variable} as it says"
