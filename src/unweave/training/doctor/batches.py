"""A quick look at the batches of spikes, without a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from unweave.core.seeds import derive
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Task
from unweave.training.checkpoints import Checkpoint, list_checkpoints
from unweave.training.config import TrainConfig
from unweave.training.doctor.finding import Finding
from unweave.training.evaluation import evaluate
from unweave.training.spikes import Spike

OTHERS = 16  # batches that a suspicious one is compared with
FAR = 6.0  # standard deviations above the others
ABOVE = 1.3  # and so many times their mean


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
