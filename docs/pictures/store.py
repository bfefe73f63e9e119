"""Memory while activations are written, and while all of them are kept: `python docs/pictures/store.py`.

Each curve is a process of its own, whose memory is read from the system as it runs (Linux).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from screenshot import screenshot
from torch import Tensor

import unweave
from unweave import charts

SITE = "blocks.1.hook_resid_post"
BATCHES, SAMPLES, POSITIONS = 40, 32, 128


def memory() -> float:
    """What this process alone holds, in MiB."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def measured(how: str) -> list[tuple[float, float]]:
    """MiB of activations so far, and MiB of memory."""
    config = unweave.HookedTransformerConfig(
        n_layers=2, d_model=512, d_head=64, n_ctx=POSITIONS, d_vocab=100, act_fn="gelu", seed=0
    )
    model = unweave.HookedTransformer(config)
    points: list[tuple[float, float]] = []

    def data() -> Iterator[Tensor]:
        for number in range(BATCHES):
            points.append((number * SAMPLES * POSITIONS * 512 * 4 / 2**20, memory()))
            yield torch.randint(0, 100, (SAMPLES, POSITIONS), generator=torch.Generator().manual_seed(number))

    if how == "store":
        with tempfile.TemporaryDirectory() as folder:
            unweave.store.write(model, data(), SITE, folder, shard_tokens=2**14)
    else:
        with torch.no_grad():
            kept = [model.run_with_cache(batch, names_filter=SITE)[1][SITE] for batch in data()]
        assert len(kept) == BATCHES
    return points


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(measured(sys.argv[1])))
    else:
        curves = {}
        for how, name in (("store", "store.write, shards of 32 MiB"), ("cache", "every cache kept")):
            ran = subprocess.run([sys.executable, __file__, how], capture_output=True, text=True, check=True)
            points = json.loads(ran.stdout)
            curves[name] = ([x for x, _ in points], [y - points[0][1] for _, y in points])
        figure = charts.lines(
            curves,
            title="Memory while 320 MiB of activations are made",
            x_title="activations so far (MiB)",
            y_title="memory beyond the start (MiB)",
        )
        sys.stdout.write(f"{screenshot(figure, 'store')}\n{[(n, max(y)) for n, (_, y) in curves.items()]}\n")
