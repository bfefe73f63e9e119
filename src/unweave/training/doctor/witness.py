"""What there is to see before a spike: the run's own steps, done again and watched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import NamedTuple

import torch
from torch import Tensor

from unweave.core.sites import attn_site
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, Task
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.config import TrainConfig
from unweave.training.doctor.replay import RECENT, Replay, WatchedStep
from unweave.training.doctor.sharpness import edge, preconditioner, sharpness
from unweave.training.evaluation import evaluate
from unweave.training.history import StepRecord
from unweave.training.spikes import WINDOW, Spike

BEFORE = 20  # steps before the onset that are looked at
LOOKS = (20, 10, 5, 2, 0)  # steps before the onset at which curvature is measured
OTHERS = 16  # batches that a suspicious one is compared with; curvature is measured on half of them
BACK_TO_LEVEL = 1.5  # times the level before: above it the loss has begun to rise


class Curvature(NamedTuple):
    """The sharpness that Adam sees before the update of this step, over the largest that is stable.

    `recent` is the same under a second moment that remembers about 20 steps, where the replay has
    done as many; `residual` bounds the error of `ratio`.
    """

    step: int
    ratio: float
    residual: float
    recent: float | None


class Outlier(NamedTuple):
    """The loss of one batch, and the mean and standard deviation of others', in one model."""

    loss: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Witness:
    """The steps from a checkpoint to just after a spike.

    Args:
        checkpoint: the step of the checkpoint that the replay began from.
        exact: whether every replayed loss is the history's, to the bit.
        level: the median loss of up to 50 steps before the onset.
        steps: watched, from the checkpoint to the spike.
        curvature: at up to five steps from 20 before the onset on.
        batches: the loss of the onset's batch beside those of others that have nothing to do with it: in
            the model of the checkpoint, and in that just before the batch's update.
        logits: the largest |attention score| by checkpoint, layer and head, and, last, at the onset.
    """

    spike: Spike
    onset: int
    checkpoint: int
    exact: bool
    level: float
    steps: tuple[WatchedStep, ...]
    curvature: tuple[Curvature, ...]
    batches: tuple[Outlier, Outlier]
    logits: tuple[tuple[int, tuple[tuple[float, ...], ...]], ...]

    @classmethod
    def of(
        cls, folder: Path, spike: Spike, history: Sequence[StepRecord], task: Task, config: TrainConfig
    ) -> Witness | None:
        """The witness of one spike; None where there is no checkpoint before its onset."""
        onset, level = begun(spike, history)
        found = checkpoints_of(folder)
        start = nearest_before(found, onset)
        if start is None:
            return None
        replay = Replay(found[start], task, config)
        probe = _probe(replay)
        before = _batches(replay, onset)
        curvature: list[Curvature] = []
        for look in LOOKS:
            if onset - look >= max(start, 1):
                replay.to(onset - look)
                curvature.append(_curvature(replay, probe))
        replay.to(onset)
        batches = (before, _batches(replay, onset))
        logits = [
            (step, largest_scores(load(Checkpoint.opened(path).path), probe.tokens))
            for step, path in found.items()
            if step <= start
        ]
        logits.append((onset, largest_scores(replay.model, probe.tokens)))
        steps = tuple(replay.to(spike.step + 1))
        return cls(
            spike,
            onset,
            start,
            replay.agrees_with(history),
            level,
            steps,
            tuple(curvature),
            batches,
            tuple(logits),
        )

    @property
    def preceding(self) -> tuple[WatchedStep, ...]:
        """The steps just before the onset, with that of the onset."""
        return tuple(step for step in self.steps if self.onset - BEFORE <= step.step <= self.onset)

    @property
    def rms_by_parameter(self) -> dict[str, float]:
        """The largest update RMS ratio of each parameter in the steps before the onset."""
        most: dict[str, float] = {}
        for step in self.preceding[:-1]:
            for name, value in step.rms.items():
                most[name] = max(most.get(name, 0.0), round(value, 4))
        return most

    @property
    def largest_rms(self) -> tuple[int, str, float]:
        """The step, parameter and value of the largest update RMS ratio before the onset."""
        found = [(v, s.step, name) for s in self.preceding[:-1] for name, v in s.rms.items()]
        value, step, name = max(found, default=(0.0, self.onset, "no parameter"))
        return step, name, value

    @property
    def first_score(self) -> float:
        """The largest |attention score| at the first checkpoint."""
        return max(value for layer in self.logits[0][1] for value in layer)

    @property
    def largest_score(self) -> tuple[int, int, float]:
        """Layer, head and value of the largest |attention score| at the onset."""
        scores = [(v, n, h) for n, layer in enumerate(self.logits[-1][1]) for h, v in enumerate(layer)]
        value, layer, head = max(scores)
        return layer, head, value


def begun(spike: Spike, history: Sequence[StepRecord]) -> tuple[int, float]:
    """The step at which the loss began to rise to this spike, and the level it rose from."""
    losses = [record.loss for record in history]
    level = median(losses[max(0, spike.step - WINDOW) : spike.step] or losses[:1])
    # A loss that is falling fast rises from where it had come to, not from its median.
    level = min(level, median(losses[max(0, spike.step - 10) : spike.step] or losses[:1]))
    onset = spike.step
    while onset > 0 and losses[onset - 1] > BACK_TO_LEVEL * level:
        onset -= 1
    return onset, level


def checkpoints_of(folder: Path) -> dict[int, Path]:
    """The run's checkpoints by their step, the earliest first."""
    return {int(path.name.removeprefix("step-")): path for path in list_checkpoints(folder / "checkpoints")}


def nearest_before(found: Sequence[int] | dict[int, Path], onset: int) -> int | None:
    """The latest checkpoint with enough steps up to the onset to see something in; else the latest before it."""
    early = [step for step in found if step <= onset - BEFORE]
    return max(early or [step for step in found if step <= onset], default=None)


@torch.no_grad()
def largest_scores(model: HookedTransformer, tokens: Tensor) -> tuple[tuple[float, ...], ...]:
    """The largest |score| before the softmax, by layer and head, over these sequences."""
    seen: dict[str, tuple[float, ...]] = {}

    def keep(scores: Tensor, *, hook: object) -> None:
        seen[str(getattr(hook, "name", ""))] = tuple(
            scores.masked_fill(scores == -math.inf, 0.0).abs().amax((0, 2, 3)).tolist()
        )

    names = [attn_site(layer, "attn_scores") for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, keep) for name in names]):
        model(tokens.to(model.W_U.device))
    return tuple(seen[name] for name in names)


def _batches(replay: Replay, onset: int) -> Outlier:
    """The batch of the onset beside others of the stream, in the replay's model as it is now."""
    names = [onset, *(f"doctor {number}" for number in range(OTHERS))]
    rows = replay.config.batch_size
    its, *others = (evaluate(replay.model, replay.task, replay.batch(name), rows)[0] for name in names)
    return Outlier(its, mean(others), stdev(others))


def _probe(replay: Replay) -> Batch:
    """Sequences of the stream that the run was never shown."""
    parts = [replay.batch(f"doctor {number}") for number in range(OTHERS // 2)]
    return Batch(*(torch.cat(list(part)) for part in zip(*parts, strict=True)))


def _curvature(replay: Replay, probe: Batch) -> Curvature:
    config = replay.config
    lr = config.lr * float(config.schedule(replay.step))
    clip = replay.clip
    most = edge(lr, config.betas[0]) if lr > 0 else math.inf
    own = preconditioner(replay.second_moments(), replay.step, config.betas, config.eps)
    value, residual = sharpness(replay.model, replay.task, probe, own)
    recent = None
    if len(replay.steps) >= BEFORE and config.betas[1] > RECENT:
        # Averages that forget what came before the checkpoint need no correction for their first steps.
        fresh = [v.sqrt() + config.eps for v in replay.recent_moments()]
        recent = clip * sharpness(replay.model, replay.task, probe, fresh).value / most
    return Curvature(replay.step, clip * value / most, clip * residual / most, recent)
