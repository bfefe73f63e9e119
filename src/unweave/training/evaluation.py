"""Loss and accuracy on held-out sequences."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unweave.model.transformer import HookedTransformer
from unweave.tasks import IGNORED, Batch, Task


@dataclass(frozen=True)
class Evaluation:
    """What is measured on held-out sequences during a run.

    Args:
        every: steps between measurements.
        rows: sequences that are run at once.
    """

    task: Task
    batch: Batch
    every: int
    rows: int

    def of(self, model: HookedTransformer) -> tuple[float, float]:
        """The model's loss and accuracy there."""
        return evaluate(model, self.task, self.batch, self.rows)


@torch.no_grad()
def evaluate(model: HookedTransformer, task: Task, batch: Batch, rows: int) -> tuple[float, float]:
    """The mean loss in nats, and the accuracy, on these sequences, run `rows` at a time."""
    asked = int((batch.targets != IGNORED).sum())
    sums = torch.zeros(2, dtype=torch.float64)
    for tokens, targets in zip(batch.tokens.split(rows), batch.targets.split(rows), strict=True):
        part = Batch(tokens, targets)
        count = int((targets != IGNORED).sum())
        if count:
            logits = model(tokens.to(model.W_U.device))
            sums += count * torch.stack([task.loss(logits, part), task.accuracy(logits, part)]).double().cpu()
    loss, accuracy = (sums / asked).tolist()
    return loss, accuracy
