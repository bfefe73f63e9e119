"""Freeze tiny dictionaries of SAELens 6.54.12 for the tests, and have SAELens read ours.

`python -m bench.parity.freeze_features`, from the repository's root.

Its own environment is named by UNWEAVE_SAELENS_OWN_PYTHON: `pip install sae-lens==6.54.12 transformer-lens==3.9.0`.
Each folder of tests/analysis/features/saelens/ is one as SAELens wrote it, with what it computes of some inputs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.peers.channel import ROOT
from unweave import features

FOLDER = ROOT / "tests" / "analysis" / "features" / "saelens"
WORKER = ROOT / "bench" / "parity" / "saelens_worker.py"
VARIABLE = "UNWEAVE_SAELENS_OWN_PYTHON"


def main() -> int:
    python = os.environ.get(VARIABLE)
    if not python:
        print(f"no Python with SAELens: make one with pip install sae-lens==6.54.12 and set {VARIABLE}")
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([python, WORKER, "write", FOLDER], check=True)
    with tempfile.TemporaryDirectory() as place:
        for case in sorted(FOLDER.iterdir()):
            ours = Path(place) / case.name
            features.save(features.load(case), ours)
            shutil.copy(case / "expected.safetensors", ours)
        ran = subprocess.run([python, WORKER, "read", place], check=True, capture_output=True, text=True)
    worst: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    for name, off in worst.items():
        print(f"{name:28} SAELens reads ours: off by {off:.1e}")
    return int(max(worst.values()) > 1e-5)


if __name__ == "__main__":
    sys.exit(main())
