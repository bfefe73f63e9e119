"""Where the peer's Python is."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

VARIABLE = "UNWEAVE_TL_PYTHON"
PEER = ("transformer-lens", "3.9.0")


class PeerAbsent(Exception):
    """There is no usable environment with the peer; the message says how to make one."""


def peer_python(given: str | None = None) -> Path:
    """The interpreter with transformer-lens 3.9.0: the one `given`, or else the one that the variable names.

    Raises:
        PeerAbsent: if there is none, it lacks the peer, or its torch is another than ours.
    """
    named = given or os.environ.get(VARIABLE)
    if not named:
        raise PeerAbsent(f"no Python with {'=='.join(PEER)} is named: {_remedy()}")
    # Not resolved: following the link of a virtual environment would leave it.
    python = Path(named).expanduser().absolute()
    question = f"from importlib.metadata import version as v; print(v({PEER[0]!r}), v('torch'))"
    try:
        asked = subprocess.run([python, "-c", question], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerAbsent(f"{python} is no Python with {PEER[0]}: {_remedy()}") from error
    peer, torch = asked.stdout.split()
    if peer != PEER[1] or _release(torch) != _release(version("torch")):
        wanted = f"{'=='.join(PEER)} with torch {_release(version('torch'))}"
        raise PeerAbsent(f"{python} has {PEER[0]}=={peer} with torch {torch}, not {wanted}: {_remedy()}")
    return python


def _release(number: str) -> str:
    # Builds for a CPU and for CUDA are one release.
    return number.partition("+")[0]


def _remedy() -> str:
    return f"run `sh bench/peers/make_environment.sh FOLDER` and set {VARIABLE} as it says"
