"""Freeze what TransformerLens 3.9.0's patching functions give on frozen cases: `python -m bench.parity.freeze_patching`.

The models are those of bench/parity/freeze.py; all results go into one file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.parity.freeze import FOLDER, thaw
from bench.parity.patched import CASES
from bench.peers.channel import ROOT, Worker
from bench.peers.environment import PEER, PeerAbsent, peer_python

PATH = ROOT / "tests" / "analysis" / "parity" / "patching.safetensors"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parity.freeze_patching", description=__doc__)
    parser.add_argument("--peer-python", help="the Python with transformer-lens (or UNWEAVE_TL_PYTHON)")
    try:
        python = peer_python(parser.parse_args().peer_python)
    except PeerAbsent as absent:
        print(f"Nothing frozen: {absent}", file=sys.stderr)
        return 2
    found: dict[str, Tensor] = {}
    with Worker(python, "bench.parity.tl_worker") as worker:
        for case in CASES:
            found |= {f"{case} {name}": value for name, value in asked(worker, case).items()}
    PATH.parent.mkdir(parents=True, exist_ok=True)
    save_file(found, PATH, {"made by": "==".join(PEER)})
    print(f"{len(found)} results, {PATH.stat().st_size} bytes")
    return 0


def asked(worker: Worker, case: str) -> dict[str, Tensor]:
    """The results on one case, by function."""
    config, given, _ = thaw(FOLDER / f"{case}.safetensors")
    with tempfile.TemporaryDirectory() as name:
        inputs, outputs = Path(name) / "inputs.safetensors", Path(name) / "outputs.safetensors"
        save_file(given, inputs)
        reply = worker.ask(
            question="patching",
            config=config,
            inputs=str(inputs),
            outputs=str(outputs),
            names=CASES[case],
        )
        if "error" in reply:
            raise RuntimeError(f"the peer cannot patch {case}: {reply['error']}")
        return load_file(outputs)


if __name__ == "__main__":
    sys.exit(main())
