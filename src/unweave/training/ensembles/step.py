"""One step of every member: its batch, its update, its measurements."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unweave.core.errors import InputError
from unweave.core.log import log
from unweave.core.seeds import derive
from unweave.tasks import Batch
from unweave.training.ensembles.adamw import StackedAdamW
from unweave.training.ensembles.members import Member
from unweave.training.ensembles.stack import Stack
from unweave.training.history import HeldOut, StepRecord
from unweave.training.run_file import RunConfig
from unweave.training.update import TrainingDiverged, not_finite


def drawn(runs: Sequence[RunConfig], step: int, device: torch.device) -> Batch:
    """Every member's own batch, `[member, batch, pos]`: those of its run by itself."""
    return _stacked(
        [run.task.batch(run.training.batch_size, derive(run.training.seed, "train", step)) for run in runs],
        device,
    )


def update_members(
    members: Sequence[Member], stack: Stack, optimizer: StackedAdamW, batch: Batch, step: int
) -> list[float]:
    """One step of every member that still learns; their losses."""
    config = members[0].run.training
    scored = stack.scored(batch, members[0].run.task.scored, config.precision == "bf16")
    means = scored.losses / scored.asked
    gradient = stack.gradient(means)
    norms = optimizer.clip(gradient)
    # Once a step, since on a GPU each look waits for it.
    table = torch.stack([means.detach(), scored.hits / scored.asked, norms], 1).double().tolist()
    for member, (loss, _, norm) in zip(members, table, strict=True):
        _note(member, step, not_finite(loss, "loss") or not_finite(norm, "gradient's norm"))
    if all(member.diverged for member in members):
        raise TrainingDiverged(f"no member is left: in the last {members[0].diverged}")
    # Who diverged stands still: a gradient and a learning rate of 0.
    still = [member.number for member in members if member.diverged]
    if still:
        gradient[still] = 0.0
    lrs = [member.lr(step) for member in members]
    optimizer.step(gradient, lrs)
    learning = [
        (member, StepRecord(step, loss, accuracy, lr, norm))
        for member, (loss, accuracy, norm), lr in zip(members, table, lrs, strict=True)
        if not member.diverged
    ]
    for member, record in learning:
        member.history.add(record)
    return [record.loss for _, record in learning]


def held_out_of(runs: Sequence[RunConfig], device: torch.device) -> Batch | None:
    """Every member's held-out sequences, `[member, batch, pos]`; None if none are wanted."""
    if runs[0].training.evaluate_every is None:
        return None
    return _stacked(
        [run.task.held_out(run.training.evaluate_size, run.training.seed) for run in runs], device
    )


@torch.no_grad()
def evaluate_members(members: Sequence[Member], stack: Stack, batch: Batch, step: int) -> None:
    """Loss and accuracy of every member on its own held-out sequences, `batch_size` of them at a time."""
    run = members[0].run
    pieces = zip(*(part.split(run.training.batch_size, 1) for part in batch), strict=True)
    scored = [torch.stack(stack.scored(Batch(*piece), run.task.scored)).double() for piece in pieces]
    losses, hits, asked = torch.stack(scored).sum(0)
    table: list[list[float]] = torch.stack([losses / asked, hits / asked], 1).tolist()
    for member, (loss, accuracy) in zip(members, table, strict=True):
        _note(member, step, not_finite(loss, "held-out loss"))
        if not member.diverged:
            member.history.add_held_out(HeldOut(step, loss, accuracy))


def _note(member: Member, step: int, reason: str | None) -> None:
    """A member whose numbers are no longer finite stops; the first reason stays."""
    if reason and not member.diverged:
        log.warning("member %d stopped at step %d: %s", member.number, step, reason)
        member.diverged = reason


def _stacked(batches: Sequence[Batch], device: torch.device) -> Batch:
    shapes = [tuple(batch.targets.shape) for batch in batches]
    if len(set(shapes)) > 1:
        # Finite data may have fewer sequences than were asked for.
        raise InputError(
            wanted="batches of one shape from every member's task",
            got=", ".join(map(str, dict.fromkeys(shapes))),
            remedy="give their tasks the same number of sequences, or a smaller batch_size",
        )
    return Batch(*(torch.stack(parts).to(device) for parts in zip(*batches, strict=True)))
