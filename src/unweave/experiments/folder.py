"""The folder of a run: whose it is, what made it, and what must not outlive its models."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

import unweave
from unweave.core.errors import InputError
from unweave.core.files import require_folder

WRITTEN = ("results.json", "report.html", "notebook.ipynb")


def own_folder(out: Path, experiment: str, preset: str, seed: int | str) -> Path:
    """`out`, made if need be, with what an earlier call of the same run wrote about its models cleared away.

    Args:
        seed: as results.json has it: one seed, or several in words.

    Raises:
        InputError: `out` is a file, or holds another run's results.
    """
    folder = require_folder(out, "the run")
    results = folder / "results.json"
    if results.exists():
        try:
            held = json.loads(results.read_text(encoding="utf-8"))
            other = (held["experiment"], held["preset"], held["seed"])
        except (ValueError, KeyError, TypeError):
            other = ("unknown", "unknown", "unknown")
        if other != (experiment, preset, seed):
            raise InputError(
                wanted=f"an --out folder that is new, or holds {experiment}, preset {preset}, seed {seed}",
                got=f"{out}, which holds {other[0]}, preset {other[1]}, seed {other[2]}",
                remedy="name another folder with --out, or move that one away",
            )
    for name in WRITTEN:
        (folder / name).unlink(missing_ok=True)
    return folder


def made_by(experiment: str, preset: str, seed: int | str) -> dict[str, Any]:
    """What results.json says first: which experiment, and with which versions and threads."""
    return {
        "experiment": experiment,
        "preset": preset,
        "seed": seed,
        "versions": {
            "unweave": unweave.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
    }
