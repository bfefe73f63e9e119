"""After a run, or during it: loss spikes and what preceded them, from the run's own files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev

from unweave.core.seeds import derive
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Task
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.config import TrainConfig
from unweave.training.doctor.finding import Finding
from unweave.training.evaluation import evaluate
from unweave.training.history import StepRecord
from unweave.training.spikes import Spike, find_spikes

LET_GO = 0.9  # of the steps of the second half: clipped at so many, and
OVER = 5.0  # times the limit at the median, clipping has become the learning rate
OTHERS = 16  # batches that a suspicious one is compared with
FAR = 6.0  # standard deviations above the others
ABOVE = 1.3  # and so many times their mean
SHOWN = 5


def clipping(history: Sequence[StepRecord], config: TrainConfig) -> list[Finding]:
    """Gradients that are clipped at nearly every step of the second half of the run."""
    if config.max_grad_norm is None or len(history) < 20:
        return []
    half = history[len(history) // 2 :]
    share = mean(record.grad_norm > config.max_grad_norm for record in half)
    middle = median(record.grad_norm for record in half)
    if share < LET_GO or middle < OVER * config.max_grad_norm:
        return []
    return [
        Finding(
            "clipping-never-lets-go",
            f"{share:.0%} of the gradients of the run's second half were clipped to {config.max_grad_norm:g}, half of them "
            f"from more than {middle:.3g}: the clip, not lr, decides how large a step is",
            {"share": round(share, 4), "median norm": middle},
            "run again with max_grad_norm ten times larger, and compare the losses",
        )
    ]


def spikes(history: Sequence[StepRecord]) -> list[Spike]:
    """The loss spikes; see `find_spikes`."""
    return find_spikes([record.loss for record in history])


def bad_batches(
    folder: Path, found: Sequence[Spike], task: Task, config: TrainConfig
) -> tuple[list[Finding], list[Spike]]:
    """Spikes whose batch is strange by itself, and the others.

    The batch of a spike is made again from its seed, and shown to the model of the checkpoint before
    it, beside other batches of the stream. If it has an outlying loss already there, when nothing
    had happened yet, then the batch is what is special, not the state that the model was in.
    """
    checkpoints = {
        int(path.name.removeprefix("step-")): path for path in list_checkpoints(folder / "checkpoints")
    }
    witnesses: dict[int, _Witness] = {}
    findings: list[Finding] = []
    left: list[Spike] = []
    for spike in found:
        before = [step for step in checkpoints if step <= spike.step]
        if not before:
            left.append(spike)
            continue
        last = max(before)
        if last not in witnesses:
            witnesses[last] = _Witness.of(checkpoints[last], task, config)
        evidence = witnesses[last].strange(spike.step)
        if evidence is None:
            left.append(spike)
            continue
        findings.append(
            Finding(
                "bad-batch",
                f"the batch of step {spike.step} is strange by itself: {evidence['its loss']:.3g} nats in the model of "
                f"step {last}, where others have {evidence['others, mean']:.3g}",
                evidence,
                f"look at task.batch({config.batch_size}, derive({config.seed}, 'train', {spike.step})), "
                "and go on from that checkpoint without it",
            )
        )
    return findings, left


def unexplained(left: Sequence[Spike], history: Sequence[StepRecord], config: TrainConfig) -> list[Finding]:
    """Spikes that no single batch explains, with what the history says of the steps before the largest."""
    if not left:
        return []
    largest = max(left, key=lambda spike: spike.loss)
    before = history[max(0, largest.step - 20) : largest.step] or history[:1]
    peak = max(record.lr for record in history)
    clip = config.max_grad_norm
    evidence = {
        "spikes": len(left),
        "largest": {"step": largest.step, "loss": largest.loss},
        "learning rate there": before[-1].lr,
        "largest learning rate": peak,
        "gradient norm in the 20 steps before, largest": max(record.grad_norm for record in before),
        "share clipped in the 20 steps before": None
        if clip is None
        else mean(r.grad_norm > clip for r in before),
    }
    steps = ", ".join(str(spike.step) for spike in sorted(left, key=lambda s: -s.loss)[:SHOWN])
    return [
        Finding(
            "loss-spikes",
            f"{len(left)} loss spike{'s' if len(left) > 1 else ''} that no single batch explains, "
            f"the largest at step{'s' if len(left) > 1 else ''} {steps}: the state of the model or of its optimiser",
            evidence,
            "go on from the checkpoint before with a quarter of the learning rate: if the spike stays away, "
            "the step was too large for the curvature there",
            source="Cohen et al. (2022), arXiv:2207.14484; Wortsman et al. (2023), arXiv:2304.13013",
        )
    ]


@dataclass(frozen=True)
class _Witness:
    """A model from before a spike, and what it makes of batches that have nothing to do with one.

    Args:
        usual, spread: mean and standard deviation of its loss on these.
    """

    model: HookedTransformer
    task: Task
    config: TrainConfig
    usual: float
    spread: float

    @classmethod
    def of(cls, checkpoint: Path, task: Task, config: TrainConfig) -> _Witness:
        """The model of a checkpoint."""
        model = load(Checkpoint.opened(checkpoint).path)
        others = [_loss(model, task, config, f"doctor {number}") for number in range(OTHERS)]
        return cls(model, task, config, mean(others), stdev(others))

    def strange(self, step: int) -> dict[str, float | int] | None:
        """The numbers by which the batch of this step is unlike the others; None if it isn't."""
        its = _loss(self.model, self.task, self.config, step)
        if its < max(self.usual + FAR * self.spread, self.usual * ABOVE):
            return None
        return {
            "step": step,
            "its loss": round(its, 4),
            "others, mean": round(self.usual, 4),
            "others, standard deviation": round(self.spread, 4),
        }


def _loss(model: HookedTransformer, task: Task, config: TrainConfig, step: int | str) -> float:
    """The loss on the batch that the run has, or would have, under this name."""
    batch = task.batch(config.batch_size, derive(config.seed, "train", step))
    return evaluate(model, task, batch, config.batch_size)[0]
