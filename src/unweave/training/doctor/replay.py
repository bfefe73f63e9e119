"""A run's steps done again from one of its checkpoints, watched, and with something changed if that is wanted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from unweave.core.seeds import derive
from unweave.model.saved import read_config
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, Task
from unweave.training.checkpoints import Checkpoint
from unweave.training.config import TrainConfig
from unweave.training.history import StepRecord
from unweave.training.optimizer import adamw
from unweave.training.update import TrainingDiverged, update

RECENT = 0.95  # β2 of a second moment that keeps up


@dataclass(frozen=True)
class Change:
    """What an experiment does differently, from the checkpoint on; nothing, by default.

    Args:
        lr: the learning rate is multiplied by it.
        beta2: Adam's; the second moment goes on from the checkpoint's.
        max_grad_norm: math.inf for no clipping.
        soft_cap: on attention scores.
        without: steps whose batch is left out: nothing is done in them.
        other_data: batches drawn anew from this name.
    """

    lr: float = 1.0
    beta2: float | None = None
    max_grad_norm: float | None = None
    soft_cap: float | None = None
    without: frozenset[int] = frozenset()
    other_data: str | None = None


@dataclass(frozen=True)
class WatchedStep(StepRecord):
    """A step of the replay: what the history says of it, and what the optimiser did.

    Args:
        clip: what the gradient was multiplied by.
        rms: of each parameter, the root of the mean of g² / v, with v as the update divides by it: 1
            where v keeps up with the gradient. RMS_t of Wortsman et al. (2023), arXiv:2304.13013.
    """

    clip: float = 1.0
    rms: dict[str, float] = field(default_factory=dict[str, float])


class Replay:
    """A run from one of its checkpoints on; `model` and `step` are where it has come to.

    Resume is exact, so that without a change this is the run itself, to the bit, on the machine
    and with the versions that made it. The global random state and the number of threads are put
    back after every call.
    """

    def __init__(
        self, checkpoint: Path, task: Task, config: TrainConfig, change: Change | None = None
    ) -> None:
        self.change = change or Change()
        self.opened = Checkpoint.opened(checkpoint)
        self.task, self.config = task, _changed(config, self.change)
        cfg = read_config(checkpoint)
        if self.change.soft_cap is not None:
            cfg.attn_scores_soft_cap = self.change.soft_cap
        with self._surroundings():
            self.model = HookedTransformer(cfg, tokenizer=False)
            self.optimizer = adamw(self.model, self.config)
            self.opened.restore(self.model, self.optimizer)
            self._keep_second_moments(config.betas[1])
            self._random = torch.random.get_rng_state()
        self.step = self.opened.step
        self.steps: list[WatchedStep] = []
        self._rms: dict[str, float] = {}
        self._recent = [torch.zeros_like(p, dtype=torch.float64) for p in self.model.parameters()]
        self.optimizer.register_step_pre_hook(lambda optimizer, *_: self._watch())

    def to(self, step: int, each: Callable[[], None] = lambda: None) -> list[WatchedStep]:
        """Go on until `step` updates are done, or the loss is no longer finite; every step so far."""
        with self._surroundings():
            while self.step < step:
                if self.step not in self.change.without and not self._do():
                    break
                self.step += 1
                each()
        return self.steps

    def batch(self, step: int | str) -> Batch:
        """The batch that the run has, or would have, under this name."""
        names = () if self.change.other_data is None else (self.change.other_data,)
        return self.task.batch(self.config.batch_size, derive(self.config.seed, "train", step, *names))

    @property
    def clip(self) -> float:
        """What gradients were multiplied by, the median of the last 20 steps; 1 before the first."""
        return median([step.clip for step in self.steps[-20:]] or [1.0])

    def second_moments(self) -> list[Tensor]:
        """Adam's v, one tensor a parameter; zeros before the first step."""
        found = [self.optimizer.state[p].get("exp_avg_sq") for p in self.model.parameters()]
        return [
            torch.zeros_like(p) if v is None else v
            for p, v in zip(self.model.parameters(), found, strict=True)
        ]

    def recent_moments(self) -> list[Tensor]:
        """What v would be if Adam remembered about 20 steps: of the replay's gradients alone, with β2 = 0.95."""
        return [v / (1.0 - RECENT ** len(self.steps)) for v in self._recent]

    def agrees_with(self, history: Sequence[StepRecord]) -> bool:
        """Whether every loss so far is the history's, to the bit."""
        said = {record.step: record.loss for record in history}
        return all(said.get(done.step) == done.loss for done in self.steps)

    def _keep_second_moments(self, beta2: float) -> None:
        """Make v, over its bias correction, what it was under the run's own β2."""
        for state in self.optimizer.state.values():
            done = int(state["step"])
            state["exp_avg_sq"] *= (1.0 - self.config.betas[1] ** done) / (1.0 - beta2**done)

    def _do(self) -> bool:
        lr = self.config.lr * float(self.config.schedule(self.step))
        try:
            seen = update(self.model, self.optimizer, self.batch(self.step), self.task, lr, self.config)
        except TrainingDiverged:
            self.steps.append(WatchedStep(self.step, math.inf, 0.0, lr, math.inf))
            return False
        clip = min(1.0, (self.config.max_grad_norm or math.inf) / max(seen.grad_norm, 1e-30))
        self.steps.append(WatchedStep(self.step, *seen[:2], lr, seen.grad_norm, clip, self._rms))
        return True

    def _watch(self) -> None:
        """Just before an update: the gradient, clipped, against the second moment as it is about to be."""
        _, beta2 = self.config.betas
        rms: dict[str, float] = {}
        for (name, parameter), recent in zip(self.model.named_parameters(), self._recent, strict=True):
            if parameter.grad is None:
                continue
            squared = parameter.grad.double() ** 2
            recent.lerp_(squared, 1.0 - RECENT)
            state = self.optimizer.state[parameter]
            before = state["exp_avg_sq"].double() if state else torch.zeros_like(squared)
            done = int(state["step"]) if state else 0
            v = (beta2 * before + (1.0 - beta2) * squared) / (1.0 - beta2 ** (done + 1))
            rms[name] = float((squared / v.clamp_min(self.config.eps**2)).mean().sqrt())
        self._rms = rms

    @contextmanager
    def _surroundings(self) -> Generator[None]:
        """The threads that the run had, which decide its last bits; afterwards as it was."""
        threads = torch.get_num_threads()
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=list(devices)):
            torch.set_num_threads(self.opened.surroundings.threads)
            if hasattr(self, "_random"):
                torch.random.set_rng_state(self._random)
            try:
                yield
                self._random = torch.random.get_rng_state()
            finally:
                torch.set_num_threads(threads)


def _changed(config: TrainConfig, change: Change) -> TrainConfig:
    """The run's config with the change in it."""
    fields: dict[str, object] = {"lr": config.lr * change.lr}
    if change.beta2 is not None:
        fields["betas"] = (config.betas[0], change.beta2)
    if change.max_grad_norm is not None:
        fields["max_grad_norm"] = None if math.isinf(change.max_grad_norm) else change.max_grad_norm
    return dataclasses.replace(config, **fields)
