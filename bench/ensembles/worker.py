"""One process: trains when asked, and says how long it took, models and optimisers made included."""

from __future__ import annotations

import time

import torch

from bench.ensembles.cases import MEMBERS, small
from bench.peers.channel import serve
from unweave.training import train, train_ensemble


def answer(
    ask: str, d_model: int = 0, batch_size: int = 0, steps: int = 0, share: int = 1
) -> dict[str, object]:
    """`ask="together"`: an ensemble; "alone": every `share`-th of its runs, one after the other."""
    if ask == "about":
        return {"threads": torch.get_num_threads(), "torch": torch.__version__}
    runs = small(d_model, batch_size, steps).over_seeds(MEMBERS)
    begun = time.perf_counter()
    if ask == "together":
        losses = train_ensemble(runs).losses[:, -1].tolist()
    else:
        losses = [train(run.build(), run.task, run.training).history[-1].loss for run in runs[::share]]
    return {"ms": 1000 * (time.perf_counter() - begun) / steps, "losses": losses}


if __name__ == "__main__":
    serve(answer)
