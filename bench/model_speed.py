"""Import, training step, forward and cache, side by side with TransformerLens 3.9.0 and plain PyTorch.

Run by `make bench`; the same as `python -m bench.speed`, which see.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    command = [sys.executable, "-m", "bench.speed", *sys.argv[1:]]
    sys.exit(subprocess.call(command, cwd=Path(__file__).resolve().parents[1]))
