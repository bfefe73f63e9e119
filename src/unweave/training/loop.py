"""The training loop."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.core.files import require_folder
from unweave.core.seeds import derive
from unweave.model.saved import require_own_folder
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Task
from unweave.training.checkpoints import list_checkpoints, write_checkpoint
from unweave.training.config import TrainConfig
from unweave.training.evaluation import evaluate
from unweave.training.history import HELD_OUT, HISTORY, TIMES, HeldOut, History, StepRecord, open_history
from unweave.training.interrupt import deferred_interrupt
from unweave.training.memory import kept_memory
from unweave.training.processes import Processes
from unweave.training.resume import begun_before
from unweave.training.run_file import RUN, write_run_file
from unweave.training.surroundings import Surroundings
from unweave.training.tracking import Tracker
from unweave.training.update import TrainingDiverged, update

__all__ = ["ON_DEMAND", "Run", "TrainingDiverged", "train"]

# A file of this name in the run's folder asks for a checkpoint after the step that is being done.
ON_DEMAND = "checkpoint-now"


@dataclass(frozen=True)
class Run:
    """A finished run: the trained model, one record a step, and the folder, if it has one."""

    model: HookedTransformer
    history: History
    out: Path | None


def train(
    model: HookedTransformer,
    task: Task,
    config: TrainConfig,
    out: str | Path | None = None,
    progress: bool = False,
    label: str = "training",
    *,
    resume: bool = False,
    exact: bool = True,
    trackers: Sequence[Tracker] = (),
) -> Run:
    """Train `model` in place on the task's stream.

    With `out`, the folder gets `run.json` (what was asked for), `history.jsonl` while the run goes on,
    `held_out.jsonl`, `checkpoints/step-*` at the steps of the config, at the end (also after Ctrl-C) and
    whenever a file `checkpoint-now` appears in it, and at the end `model`. These replace what an
    earlier run left there.

    In processes that `torchrun` began, after `torch.distributed.init_process_group`, each takes its
    share of every batch; the first writes.

    Args:
        resume: go on from the last checkpoint in `out`, or begin if there is none. History and weights
            are then, to the bit, those of a run that nothing stopped, on the same machine, with as
            many threads, in the same precision. The number of steps may have grown.
        exact: whether to refuse to resume where this can't be promised: with other threads, versions
            or devices. On a GPU it holds if PyTorch is told to be deterministic
            (`torch.use_deterministic_algorithms`); the loop does not ask for it.
        trackers: get each record too: see `unweave.training.tracking`.

    Raises:
        InputError: if the model cannot read the task's tokens, `out` cannot be the run's folder, or
            what is there is another run, or damaged.
        OSError: if something can't be written; checkpoints written before are whole.
        TrainingDiverged: if the loss or its gradient is no longer finite.
        KeyboardInterrupt: after Ctrl-C, when the step and its checkpoint are complete.
    """
    _require_fit(model, task)
    processes = Processes.found()
    processes.require_same(model)
    surroundings = Surroundings.here(model.W_U.device, processes)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
    folder, done = None if out is None else Path(out), 0
    if folder is not None and resume:
        before = begun_before(folder, model, task, config)
        if before is not None:
            if exact:
                surroundings.require_same(before.surroundings)
            before.restore(model, optimizer)
            done = before.step
    if folder is not None and processes.writes:
        _prepare(folder, anew=not done)
        write_run_file(folder, model, task, config)
    processes.wait()
    held_out = task.held_out(config.evaluate_size, config.seed) if config.evaluate_every else None
    wanted = set(config.checkpoint_steps())
    with (
        contextlib.ExitStack() as stack,
        open_history(folder if processes.writes else None, done) as history,
        deferred_interrupt() as interrupted,
        kept_memory(),
        tqdm(
            total=config.steps,
            initial=done,
            desc=label,
            unit="step",
            disable=not (progress and processes.writes),
        ) as bar,
    ):
        for tracker in trackers if processes.writes else ():
            stack.callback(tracker.close)

        def checkpoint(step: int) -> Path | None:
            if folder is None or not processes.writes:
                return None
            (folder / ON_DEMAND).unlink(missing_ok=True)
            return write_checkpoint(folder / "checkpoints", model, optimizer, config, step, surroundings)

        if not done and 0 in wanted:
            checkpoint(0)
        for step in range(done, config.steps):
            lr = config.lr * float(config.schedule(step))
            batch = task.batch(config.batch_size, derive(config.seed, "train", step))
            measured = update(model, optimizer, batch, task, lr, config, processes)
            record = StepRecord(step, measured.loss, measured.accuracy, lr, measured.grad_norm)
            history.add(record)
            last, stop = step + 1 == config.steps, processes.any(interrupted())
            if held_out is not None and (last or (step + 1) % (config.evaluate_every or 1) == 0):
                measured_there = evaluate(model, task, held_out, config.batch_size)
                history.add_held_out(HeldOut(step + 1, *measured_there))
            for tracker in trackers if processes.writes else ():
                tracker.record(record, history.held_out[-1] if history.held_out else None)
            written = None
            if stop or step + 1 in wanted or (folder is not None and (folder / ON_DEMAND).exists()):
                written = checkpoint(step + 1)
            bar.set_postfix(loss=f"{measured.loss:.4f}", refresh=False)
            bar.update()
            if stop and not last:
                kept = f"; the model so far is in {written}" if written else ""
                raise KeyboardInterrupt(f"stopped after {step + 1} of {config.steps} steps{kept}")
        if folder is not None and processes.writes:
            model.save(folder / "model")
    processes.wait()
    return Run(model, history, folder)


def _prepare(folder: Path, anew: bool) -> None:
    """The run's folder, without what an earlier run left there, or this one if it was killed while writing."""
    require_folder(folder, "the run")
    model = require_own_folder(folder / "model")
    checkpoints = folder / "checkpoints"
    stale = [
        *folder.glob(".model.*.part"),
        *checkpoints.glob(".step-*.part"),
        *checkpoints.glob(".step-*.old"),
    ]
    if anew:
        stale += [*list_checkpoints(checkpoints), *([model] if model.exists() else [])]
    for path in stale:
        shutil.rmtree(path)
    for name in (RUN, HISTORY, TIMES, HELD_OUT) if anew else ():
        (folder / name).unlink(missing_ok=True)


def _require_fit(model: HookedTransformer, task: Task) -> None:
    cfg = model.cfg
    if not isinstance(task, Task):
        raise InputError(
            wanted="a task of tokens",
            got=type(task).__name__,
            remedy="see unweave.tasks.names() for those that a transformer can be trained on",
        )
    if cfg.d_vocab != task.d_vocab or cfg.d_vocab_out != task.d_vocab_out or cfg.n_ctx < task.n_ctx:
        same = task.d_vocab == task.d_vocab_out
        sizes = f"d_vocab = d_vocab_out = {task.d_vocab}"
        sizes = sizes if same else f"d_vocab = {task.d_vocab}, d_vocab_out = {task.d_vocab_out}"
        raise InputError(
            wanted=f"a model with {sizes} and n_ctx >= {task.n_ctx}",
            got=f"d_vocab {cfg.d_vocab}, d_vocab_out {cfg.d_vocab_out}, n_ctx {cfg.n_ctx}",
            remedy="build model and task with the same sizes",
        )
