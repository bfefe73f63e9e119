"""A whole sweep of ours, with everything that a user gets: provenance, controls, intervals."""

from __future__ import annotations

import time
from typing import Any

import torch

import unweave
from bench.peers.channel import serve
from bench.speed.our_worker import Unweave
from bench.sweeps.cases import CASES, Case


class Sweeps:
    def answer(self, ask: str, name: str, passes: int, device: str) -> dict[str, Any]:
        case = CASES[name]
        if ask == "build":
            library = Unweave()
            library.shape = case.shape
            torch.manual_seed(0)
            self.device, self.model = device, library.build().to(device)
            return {}
        return {"seconds": self.sweep(case)}

    def sweep(self, case: Case) -> float:
        tokens, source = (
            torch.randint(0, case.shape.d_vocab, (case.samples, case.positions)).to(self.device)
            for _ in range(2)
        )
        metric: Any = unweave.Loss()
        if case.metric == "logit difference":
            metric = unweave.LogitDifference(right=tokens[:, 1], wrong=source[:, 1])
        axes = ("layer", "pos") if case.site == "resid_pre" else ("layer", "head")
        begun = time.perf_counter()
        # Its values come back on the CPU, so that the work is done by then.
        unweave.sweep(self.model, tokens, (case.site, *axes), source=source, metric=metric)
        return time.perf_counter() - begun


if __name__ == "__main__":
    serve(Sweeps().answer)
