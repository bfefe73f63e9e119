"""The training loop of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.training.ensembles.adamw import StackedAdamW
from unweave.training.ensembles.ensemble import Ensemble
from unweave.training.ensembles.members import Member, member_folders, restored
from unweave.training.ensembles.one_shape import require_one_shape
from unweave.training.ensembles.stack import Stack
from unweave.training.ensembles.step import drawn, evaluate_members, held_out_of, update_members
from unweave.training.history import open_history
from unweave.training.interrupt import deferred_interrupt
from unweave.training.loop import Run
from unweave.training.memory import kept_memory
from unweave.training.processes import Processes
from unweave.training.run_file import RunConfig, write_run_file
from unweave.training.saver import Saver, prepare
from unweave.training.surroundings import Surroundings


def train_ensemble(
    runs: Sequence[RunConfig],
    out: str | Path | None = None,
    progress: bool = False,
    label: str = "training",
    *,
    resume: bool = False,
    exact: bool = True,
) -> Ensemble:
    """Train many models of one shape at once, each as `train` would by itself, up to rounding.

    Every member has its own weights, stream of batches, schedule, optimiser and clipping; forward
    and backward run once for all of them (`torch.func.vmap`), and never in a loop over members.

    With `out`, each member's folder in it (`member-0`, …) is that of an ordinary run.

    Args:
        runs: of one shape: see `RunConfig.over_seeds`. Members may differ in seeds, in how weights
            begin, in the numbers of AdamW and clipping, in schedules and in checkpoints.
        resume: go on from the last checkpoint that all members have, or begin if there is none. On
            the same machine this is exact, as it is for `train`.
        exact: whether to refuse to resume where this can't be promised.

    Raises:
        InputError: naming what differs and may not, for a shape that torch can't batch over members,
            or for what `train` refuses.
        TrainingDiverged: once no member's loss is finite. One alone stops where it is, with a
            warning in the log and in `Ensemble.diverged`; the others go on.
        KeyboardInterrupt: after Ctrl-C, when the step and its checkpoints are complete.
    """
    runs = tuple(runs)
    require_one_shape(runs)
    if Processes.found().count > 1:
        raise InputError(
            wanted="one process for an ensemble",
            got="torchrun's several",
            remedy="start it without torchrun, or train the runs one by one",
        )
    config, folders = runs[0].training, member_folders(None if out is None else Path(out), len(runs))
    stack = Stack([run.build() for run in runs])
    optimizer = StackedAdamW(stack.flat, [run.training for run in runs])
    device = stack.flat.device
    here = Surroundings.here(device, Processes(), len(runs))
    members = [
        Member(number, run, folder, Saver(folder, run.training, here))
        for number, (run, folder) in enumerate(zip(runs, folders, strict=True))
    ]
    stack.try_out(drawn(runs, 0, device), runs[0].task.scored, config.precision == "bf16")
    done = restored(members, stack, optimizer, exact) if resume else 0
    for member in members:
        if member.folder is not None:
            prepare(member.folder, anew=done == 0)
            write_run_file(member.folder, stack.models[member.number], member.run.task, member.run.training)
    with (
        ExitStack() as files,
        deferred_interrupt() as interrupted,
        kept_memory(),
        tqdm(total=config.steps, initial=done, desc=label, unit="step", disable=not progress) as bar,
    ):
        for member in members:
            member.history = files.enter_context(open_history(member.folder, done))
        held_out = held_out_of(runs, device)
        if done == 0:
            _save(members, stack, optimizer, 0)
        for step in range(done, config.steps):
            losses = update_members(members, stack, optimizer, drawn(runs, step, device), step)
            last, stop = step + 1 == config.steps, interrupted()
            every = config.evaluate_every
            if held_out is not None and every is not None and (last or (step + 1) % every == 0):
                evaluate_members(members, stack, held_out, step + 1)
            _save(members, stack, optimizer, step + 1, always=stop)
            bar.set_postfix(loss=f"{median(losses):.4f}", refresh=False)
            bar.update()
            if stop and not last:
                raise KeyboardInterrupt(f"stopped after {step + 1} of {config.steps} steps{_kept(out)}")
        return _finished(members, stack, None if out is None else Path(out))


def _save(
    members: Sequence[Member], stack: Stack, optimizer: StackedAdamW, step: int, always: bool = False
) -> None:
    """Write the checkpoints that are due after `step` updates."""
    for member in members:
        if not member.diverged and (always or member.saver.due(step)):
            model = stack.write_back(member.number)
            member.saver.save(model, optimizer.of(model, member.number), step)


def _finished(members: Sequence[Member], stack: Stack, out: Path | None) -> Ensemble:
    done: list[Run] = []
    for member in members:
        model = stack.write_back(member.number)
        if member.folder is not None and not member.diverged:
            model.save(member.folder / "model")
        done.append(Run(model, member.history, member.folder))
    diverged = {member.number: member.diverged for member in members if member.diverged}
    return Ensemble(tuple(done), out, diverged)


def _kept(out: str | Path | None) -> str:
    return "" if out is None else f"; the models so far are in {out}"
