"""A plain training loop for language models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from unweave.compat.devices import get_device
from unweave.compat.packages import package
from unweave.core.errors import InputError


@dataclass
class HookedTransformerTrainConfig:
    """How to train.

    Args:
        num_epochs, batch_size, lr, seed: as usual; the seed is set globally, as in 3.9.
        momentum: SGD's.
        max_grad_norm: gradients are scaled down to this L2 norm; None for no clipping.
        weight_decay: with Adam, AdamW's.
        optimizer_name: "Adam", "AdamW" or "SGD".
        device: None is the best there is.
        warmup_steps: so many steps of a linearly growing rate, from 0.
        save_every, save_dir: write `model_{step}.pt` there every so many steps, counted within the
            epoch: a later epoch replaces an earlier one's.
        wandb, wandb_project_name: log to Weights and Biases.
        print_every: print the loss every so many steps; None never.
        max_steps: leave each epoch after the step of this number.
    """

    num_epochs: int
    batch_size: int
    lr: float = 1e-3
    seed: int = 0
    momentum: float = 0.0
    max_grad_norm: float | None = None
    weight_decay: float | None = None
    optimizer_name: str = "Adam"
    device: str | torch.device | None = None
    warmup_steps: int = 0
    save_every: int | None = None
    save_dir: str | None = None
    wandb: bool = False
    wandb_project_name: str | None = None
    print_every: int | None = 50
    max_steps: int | None = None


def train(model: Any, config: HookedTransformerTrainConfig, dataset: Any) -> Any:
    """Train a model in place to predict each next token; it is returned.

    Args:
        dataset: its items are `{"tokens": [pos]}`, all of one length.

    Raises:
        InputError: for another optimiser, or Weights and Biases where it isn't installed.
    """
    config = replace(config, device=config.device or get_device())
    torch.manual_seed(config.seed)
    model.train()
    log = _logger(config)
    optimizer = _optimizer(model, config)
    warmup = config.warmup_steps
    schedule = LambdaLR(optimizer, lambda step: min(1.0, step / warmup)) if warmup > 0 else None
    loader: Any = DataLoader(dataset, batch_size=config.batch_size, shuffle=True)
    model.to(config.device)
    for epoch in range(1, config.num_epochs + 1):
        samples = 0
        for step, batch in _steps(loader, epoch, config):
            tokens = batch["tokens"].to(config.device)
            loss = model(tokens, return_type="loss")
            loss.backward()
            if config.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            optimizer.zero_grad()
            samples += len(tokens)
            log({"train_loss": loss.item(), "samples": samples, "epoch": epoch})
            if config.print_every is not None and step % config.print_every == 0:
                told = f"Epoch {epoch} Samples {samples} Step {step} Loss {loss.item()}"
                print(told)  # noqa: T201 - as print_every says
            if config.save_every and config.save_dir is not None and step % config.save_every == 0:
                torch.save(model.state_dict(), Path(config.save_dir) / f"model_{step}.pt")
    return model


def _steps(loader: Any, epoch: int, config: HookedTransformerTrainConfig) -> Iterator[tuple[int, Any]]:
    # In this order the loader draws from the seed what it draws in 3.9.
    for step, batch in tqdm(enumerate(loader), total=len(loader), desc=f"epoch {epoch}", disable=None):
        yield step, batch
        if config.max_steps is not None and step >= config.max_steps:
            return


def _optimizer(model: Any, config: HookedTransformerTrainConfig) -> Optimizer:
    parameters, decay = model.parameters(), config.weight_decay
    match config.optimizer_name:
        case "Adam" | "AdamW":
            # Adam's own weight decay goes through its moments (Loshchilov and Hutter, 2019).
            return (
                Adam(parameters, config.lr)
                if decay is None
                else AdamW(parameters, config.lr, weight_decay=decay)
            )
        case "SGD":
            return SGD(parameters, lr=config.lr, weight_decay=decay or 0.0, momentum=config.momentum)
        case _:
            raise InputError(
                wanted="optimizer_name 'Adam', 'AdamW' or 'SGD'",
                got=repr(config.optimizer_name),
                remedy="leave it out for 'Adam'",
            )


def _logger(config: HookedTransformerTrainConfig) -> Any:
    if not config.wandb:
        return lambda record: None
    wandb = package("wandb", "for wandb=True")
    wandb.init(project=config.wandb_project_name or "easy-transformer", config=vars(config))
    return wandb.log
