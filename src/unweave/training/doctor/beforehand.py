"""Before a run: its schedule, its data and its first loss, without a step of training."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unweave.core.seeds import derive
from unweave.tasks import IGNORED
from unweave.training.doctor.finding import ADVICE, Finding
from unweave.training.evaluation import evaluate
from unweave.training.run_file import RunConfig
from unweave.training.schedules import described

# Fresh logits of variance v raise the loss by about v/2 over a uniform guess: 0.3 nats as models begin here.
TOO_HIGH = 1.0  # nats above chance
TOO_LOW = 0.8  # of the loss of chance
SURE = 0.95  # of the targets that a rule by position gets right
SEQUENCES = 256


def schedule(run: RunConfig) -> list[Finding]:
    """A multiplier that passes 1 or keeps growing; steps without a learning rate."""
    seen, lr = described(run.training.schedule, run.training.steps), run.training.lr
    findings: list[Finding] = []
    numbers = {
        "peak multiplier": seen.peak,
        "peak step": seen.peak_step,
        "peak learning rate": lr * seen.peak,
    }
    if seen.still_growing and seen.peak > 1:
        findings.append(
            Finding(
                "growing-learning-rate",
                f"the learning rate grows without end: {seen.peak:.3g} times lr at the last step. "
                "A maximum where a minimum was meant?",
                numbers,
                "run again with Smaller in the place of Larger (LinearWarmup for both), and compare the losses",
            )
        )
    elif seen.still_growing:
        findings.append(
            Finding(
                "warmup-never-ends",
                f"the run ends during its warmup: the multiplier is largest, {seen.peak:.3g}, at the last step",
                numbers,
                "shorten the warmup, or train for longer",
            )
        )
    elif seen.peak > 1:
        findings.append(
            Finding(
                "multiplier-above-one",
                f"the multiplier reaches {seen.peak:.3g} at step {seen.peak_step}: lr is not the largest rate",
                numbers,
                "put the factor into lr, so that the config says what is used",
            )
        )
    if seen.zeros:
        findings.append(
            Finding(
                "no-learning-rate",
                f"{seen.zeros} of {run.training.steps} steps after the first have a learning rate of 0: they train nothing",
                {"steps without": seen.zeros},
                "end the run there, or let the schedule take its whole length",
            )
        )
    return findings


def first_loss(run: RunConfig) -> list[Finding]:
    """A loss at initialisation that is away from the task's chance level."""
    model, rows = run.build(), min(run.training.batch_size, SEQUENCES)
    batch = run.task.batch(SEQUENCES, derive(run.training.seed, "doctor"))
    loss, _ = evaluate(model, run.task, batch, rows)
    chance = run.task.chance_loss
    numbers = {"loss": round(loss, 4), "chance": round(chance, 4), "unit": "nats"}
    if loss > chance + TOO_HIGH:
        return [
            Finding(
                "first-loss-high",
                f"before the first step the loss is {loss:.3g} nats, a uniform guess has {chance:.3g}: "
                "the model begins with strong opinions",
                numbers,
                "lower initializer_range, or look at the logits of the untrained model",
            )
        ]
    if loss < chance * TOO_LOW:
        return [
            Finding(
                "first-loss-low",
                f"before the first step the loss is {loss:.3g} nats, below the {chance:.3g} of a uniform guess: "
                "does the input give the answer away?",
                numbers,
                "measure the loss of the untrained model on shuffled targets",
            )
        ]
    return []


@torch.no_grad()
def positional_shortcut(run: RunConfig) -> list[Finding]:
    """A rule that reads a fixed distance back, or a fixed place, and gets nearly all targets right."""
    task = run.task
    if task.reads_a_place or task.d_vocab != task.d_vocab_out:
        return []
    tokens, targets = task.batch(4 * SEQUENCES, derive(run.training.seed, "doctor"))
    positions = torch.arange(task.n_ctx)[task.scored]
    asked = targets != IGNORED
    best, rule = 0.0, ""
    for distance in range(task.n_ctx):
        share = _right(tokens, targets, asked, (positions - distance).expand_as(targets))
        best, rule = max((best, rule), (share, f"the token {distance} before"))
    for place in range(task.n_ctx):
        share = _right(tokens, targets, asked, torch.full_like(targets, place))
        best, rule = max((best, rule), (share, f"the token at position {place}"))
    if best < SURE:
        return []
    return [
        Finding(
            "positional-shortcut",
            f"{rule} is the answer to {best:.0%} of what is asked: position alone solves the task",
            {"rule": rule, "share": round(best, 4)},
            "train with positional_embedding_type='none', or draw lengths and places at random",
        )
    ]


def evidence_to_come(run: RunConfig) -> list[Finding]:
    """No held-out data where data are finite; one seed."""
    findings: list[Finding] = []
    if run.task.exhaustive and run.training.evaluate_every is None:
        findings.append(
            Finding(
                "no-held-out-data",
                "the data are finite and nothing is measured on the part that is set aside: "
                "learning by heart would look like learning",
                {"evaluate_every": None},
                "set evaluate_every in the training",
            )
        )
    findings.append(
        Finding(
            "one-seed",
            "this is one seed: what it shows may be this seed's alone",
            {"seed": run.training.seed},
            "run the same config with other seeds before believing a difference",
            ADVICE,
        )
    )
    return findings


def _right(
    tokens: Int[Tensor, "batch pos"],
    targets: Int[Tensor, "batch scored"],
    asked: Bool[Tensor, "batch scored"],
    places: Int[Tensor, "batch scored"],
) -> float:
    """The share of targets that the token at `places` is; places before the beginning are wrong."""
    found = tokens.gather(1, places.clamp_min(0))
    right = (found == targets) & (places >= 0) & asked
    return (right.sum() / asked.sum()).item()
