"""The training loop."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.core.files import require_folder
from unweave.core.seeds import derive
from unweave.model.saved import require_own_folder
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, PreviousToken
from unweave.training.checkpoints import list_checkpoints, write_checkpoint
from unweave.training.config import TrainConfig
from unweave.training.history import History, StepRecord, open_history
from unweave.training.interrupt import deferred_interrupt
from unweave.training.loss import unembedded_cross_entropy
from unweave.training.memory import kept_memory


class TrainingDiverged(RuntimeError):
    """The loss or its gradient stopped being finite; the last checkpoint is from before that."""


@dataclass(frozen=True)
class Run:
    """A finished run: the trained model, one record a step, and the folder, if it has one."""

    model: HookedTransformer
    history: History
    out: Path | None


def train(
    model: HookedTransformer,
    task: PreviousToken,
    config: TrainConfig,
    out: str | Path | None = None,
    progress: bool = False,
    label: str = "training",
) -> Run:
    """Train `model` in place on the task's stream.

    With `out`, the folder gets `history.jsonl` while the run goes on, `checkpoints/step-*` every
    `checkpoint_every` steps and at the end (also after Ctrl-C), and at the end `model`. These
    replace what an earlier run left there.

    Raises:
        InputError: if the model cannot read the task's tokens, or `out` cannot be the run's folder.
        TrainingDiverged: if the loss or its gradient is no longer finite.
        KeyboardInterrupt: after Ctrl-C, when the step and its checkpoint are complete.
    """
    _require_fit(model, task)
    folder = None if out is None else _cleared(Path(out))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )
    begun = time.perf_counter()
    with (
        open_history(folder and folder / "history.jsonl") as history,
        deferred_interrupt() as interrupted,
        kept_memory(),
        tqdm(range(config.steps), desc=label, unit="step", disable=not progress) as steps,
    ):
        written: Path | None = None
        for step in steps:
            lr = config.lr * float(config.schedule(step))
            batch = task.batch(config.batch_size, derive(config.seed, "train", step))
            loss, accuracy, norm = _update(model, optimizer, batch, task.scored, lr, config)
            history.add(StepRecord(step, loss, accuracy, lr, norm, round(time.perf_counter() - begun, 3)))
            steps.set_postfix(loss=f"{loss:.4f}", refresh=False)
            last, stop = step + 1 == config.steps, interrupted()
            if folder is not None and (last or stop or (step + 1) % config.checkpoint_every == 0):
                written = write_checkpoint(folder / "checkpoints", model, optimizer, config, step + 1)
            if stop and not last:
                kept = f"; the model so far is in {written}" if written else ""
                raise KeyboardInterrupt(f"stopped after {step + 1} of {config.steps} steps{kept}")
        if folder is not None:
            model.save(folder / "model")
    return Run(model, history, folder)


def _update(
    model: HookedTransformer,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    scored: slice,
    lr: float,
    config: TrainConfig,
) -> tuple[float, float, float]:
    """One optimiser step; loss and accuracy of the batch before it, and the gradient's norm."""
    device = model.W_U.device
    bf16 = config.precision == "bf16"
    for group in optimizer.param_groups:
        group["lr"] = lr
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        resid = model(batch.tokens.to(device), stop_at_layer=model.cfg.n_layers)
        final = model.ln_final(resid[:, scored])
    targets = batch.targets.flatten().to(device)
    if model.cfg.output_logits_soft_cap > 0 or model.cfg.logit_multiplier != 1.0:
        # The chunked loss knows nothing of what is done to logits after the unembedding.
        logits = model.logits(final).flatten(0, 1)
        loss = F.cross_entropy(logits, targets)
        accuracy = (logits.argmax(-1) == targets).float().mean()
    else:
        loss, accuracy = unembedded_cross_entropy(final.flatten(0, 1), model.W_U, model.b_U, targets, bf16)
    _require_finite(loss, "loss")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm or math.inf)
    _require_finite(norm, "gradient's norm")
    optimizer.step()
    return loss.item(), accuracy.item(), norm.item()


def _cleared(folder: Path) -> Path:
    require_folder(folder, "the run")
    model = require_own_folder(folder / "model")
    for stale in (*list_checkpoints(folder / "checkpoints"), *([model] if model.exists() else [])):
        shutil.rmtree(stale)
    return folder


def _require_finite(value: Tensor, what: str) -> None:
    if not math.isfinite(value.item()):
        raise TrainingDiverged(
            f"the {what} became {value.item()}: lower the learning rate, or clip gradients"
        )


def _require_fit(model: HookedTransformer, task: PreviousToken) -> None:
    cfg = model.cfg
    if cfg.d_vocab != task.d_vocab or cfg.d_vocab_out != task.d_vocab or cfg.n_ctx < task.n_ctx:
        raise InputError(
            wanted=f"a model with d_vocab = d_vocab_out = {task.d_vocab} and n_ctx >= {task.n_ctx}",
            got=f"d_vocab {cfg.d_vocab}, d_vocab_out {cfg.d_vocab_out}, n_ctx {cfg.n_ctx}",
            remedy="build model and task with the same sizes",
        )
