"""64 no-position models on a GPU: at once, one by one as `train` does it, and by the best loop for one alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from bench.ensembles.cases import no_position
from unweave.core.seeds import derive
from unweave.training import RunConfig, train, train_ensemble

MEMBERS = 64
# The aim: so many times as fast as solo runs in the same eager mode.
AIM = 20


def measure(device: str, rounds: int, steps: int, members: int = MEMBERS) -> dict[str, list[float]]:
    """Milliseconds a step of all members, round by round; runs that are alike are done once and multiplied."""
    run = no_position(steps, device)
    compiled = CompiledLoop(run)
    compiled()
    ways: dict[str, Callable[[], float]] = {
        "together": lambda: timed(device, lambda: train_ensemble(run.over_seeds(members))),
        "alone": lambda: members * timed(device, lambda: train(run.build(), run.task, run.training)),
        "alone, compiled": lambda: members * timed(device, compiled),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(1000 * way() / steps)
    return taken


def timed(device: str, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


class CompiledLoop:
    """One model's steps compiled, replayed as a CUDA graph where there is one, its batches made beforehand."""

    def __init__(self, run: RunConfig) -> None:
        self.model, self.steps = run.build(), run.training.steps
        device, at = self.model.W_U.device, run.task.scored
        batches = [
            run.task.batch(run.training.batch_size, derive(run.training.seed, "train", step))
            for step in range(self.steps)
        ]
        self.batches = [(tokens.to(device), targets.to(device)) for tokens, targets in batches]
        graphs = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=run.training.lr,
            betas=run.training.betas,
            weight_decay=run.training.weight_decay,
            fused=True,
            capturable=graphs,
        )

        def loss(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(self.model(tokens, unembed_at=at).flatten(0, 1), targets.flatten())

        self.loss = torch.compile(loss, mode="reduce-overhead" if graphs else "default")

    def __call__(self) -> None:
        for tokens, targets in self.batches:
            torch.compiler.cudagraph_mark_step_begin()
            self.loss(tokens, targets).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
