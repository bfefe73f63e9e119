"""Loss and accuracy on held-out sequences."""

from __future__ import annotations

import torch

from unweave.model.transformer import HookedTransformer
from unweave.tasks import IGNORED, Batch, Task


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
