"""One optimiser step, on a batch that may be shared between processes and run in parts."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.model.transformer import HookedTransformer
from unweave.tasks import IGNORED, Batch, Task
from unweave.training.config import TrainConfig
from unweave.training.loss import unembedded_cross_entropy
from unweave.training.processes import Processes


class TrainingDiverged(RuntimeError):
    """The loss or its gradient stopped being finite; the last checkpoint is from before that."""


class Measured(NamedTuple):
    """Of the batch before the update: its mean loss, its accuracy, and the gradient's norm before clipping."""

    loss: float
    accuracy: float
    grad_norm: float


def update(
    model: HookedTransformer,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    task: Task,
    lr: float,
    config: TrainConfig,
    processes: Processes = Processes(),  # noqa: B008  (frozen)
) -> Measured:
    """One step of the optimiser.

    Every part's loss is its sum over the number of targets of the whole batch, so that gradients
    of parts, and of processes, add up to the gradient of the mean.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    asked = int((batch.targets != IGNORED).sum())
    sums = torch.zeros(2, dtype=torch.float64)
    for part in _parts(batch, processes, config.accumulate):
        loss, hits = _scored(model, part, task, config.precision == "bf16", asked)
        require_finite(loss.item(), "loss")
        loss.backward()
        sums += torch.stack([loss.detach(), hits]).cpu()
    loss, accuracy = processes.sum(sums).tolist()
    processes.sum_gradients(model)
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm or math.inf).item()
    require_finite(norm, "gradient's norm")
    optimizer.step()
    return Measured(loss, accuracy, norm)


def _scored(
    model: HookedTransformer, part: Batch, task: Task, bf16: bool, asked: int
) -> tuple[Tensor, Tensor]:
    """The part's summed loss, and its hits, over `asked`, the number of targets of the whole batch."""
    device = model.W_U.device
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        resid = model(part.tokens.to(device), stop_at_layer=model.cfg.n_layers)
        final = model.ln_final(resid[:, task.scored])
    rows, targets = final.flatten(0, 1), part.targets.flatten().to(device)
    kept = targets != IGNORED
    if not bool(kept.all()):
        rows, targets = rows[kept], targets[kept]
    share = len(targets) / asked
    if model.cfg.output_logits_soft_cap > 0 or model.cfg.logit_multiplier != 1.0:
        # The chunked loss knows nothing of what is done to logits after the unembedding.
        logits = model.logits(rows[None])[0]
        hits = (logits.argmax(-1) == targets).float().mean()
        return F.cross_entropy(logits, targets) * share, hits * share
    loss, hits = unembedded_cross_entropy(rows, model.W_U, model.b_U, targets, bf16)
    return loss * share, hits * share


def _parts(batch: Batch, processes: Processes, accumulate: int) -> list[Batch]:
    """This process' share of the batch, in parts; without those that ask for nothing."""
    if processes.count * accumulate == 1:
        return [batch]
    mine = slice(processes.rank * accumulate, (processes.rank + 1) * accumulate)
    pieces = (part.tensor_split(processes.count * accumulate)[mine] for part in batch)
    parts = [Batch(*pair) for pair in zip(*pieces, strict=True)]
    return [part for part in parts if bool((part.targets != IGNORED).any())]


def not_finite(value: float, what: str) -> str | None:
    """What to say of a number that is no longer finite; None while it is."""
    if math.isfinite(value):
        return None
    return f"the {what} became {value}: lower the learning rate, or clip gradients"


def require_finite(value: float, what: str) -> None:
    """Raise TrainingDiverged for a number that is no longer finite."""
    said = not_finite(value, what)
    if said is not None:
        raise TrainingDiverged(said)
