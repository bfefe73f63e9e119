"""The training loop."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from unweave.core.events import emit
from unweave.core.seeds import derive
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Task
from unweave.training.config import TrainConfig
from unweave.training.evaluation import Evaluation
from unweave.training.fit import require_fit
from unweave.training.history import HeldOut, History, StepRecord, open_history
from unweave.training.interrupt import deferred_interrupt
from unweave.training.memory import kept_memory
from unweave.training.optimizer import adamw
from unweave.training.processes import Processes
from unweave.training.resume import begun_before
from unweave.training.run_file import write_run_file
from unweave.training.saver import Saver, prepare
from unweave.training.surroundings import Surroundings
from unweave.training.tracking import Tracker
from unweave.training.update import TrainingDiverged, require_finite, update

__all__ = ["Run", "TrainingDiverged", "train"]


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
    require_fit(model.cfg, task)
    folder = None if out is None else Path(out)
    processes = Processes.found()
    processes.require_same(model)
    here = Surroundings.here(model.W_U.device, processes)
    optimizer = adamw(model, config)
    before = begun_before(folder, model, task, config) if folder is not None and resume else None
    done = 0 if before is None else before.step
    if before is not None:
        if exact:
            here.require_same(before.surroundings)
        before.restore(model, optimizer)
    # One process writes, and shows that it goes on.
    mine, trackers = (folder, tuple(trackers)) if processes.writes else (None, ())
    if mine is not None:
        prepare(mine, anew=before is None)
        write_run_file(mine, model, task, config)
    saver, held_out = Saver(mine, config, here), _held_out(task, config)
    with (
        _closing(trackers),
        open_history(mine, done) as history,
        deferred_interrupt() as interrupted,
        kept_memory(),
        tqdm(total=config.steps, initial=done, desc=label, unit="step", disable=not progress) as bar,
    ):
        if done == 0 and saver.due(0):
            saver.save(model, optimizer, 0)
        for step in range(done, config.steps):
            lr = config.lr * float(config.schedule(step))
            batch = task.batch(config.batch_size, derive(config.seed, "train", step))
            measured = update(model, optimizer, batch, task, lr, config, processes)
            history.add(StepRecord(step, measured.loss, measured.accuracy, lr, measured.grad_norm))
            last, stop = step + 1 == config.steps, processes.any(interrupted())
            if held_out is not None and (last or (step + 1) % held_out.every == 0):
                loss, accuracy = held_out.of(model)
                require_finite(loss, "held-out loss")
                history.add_held_out(HeldOut(step + 1, loss, accuracy))
            for tracker in trackers:
                tracker.record(history[-1], history.held_out_after(step + 1))
            written = saver.save(model, optimizer, step + 1) if stop or saver.due(step + 1) else None
            bar.set_postfix(loss=f"{measured.loss:.4f}", refresh=False)
            bar.update()
            if stop and not last:
                kept = f"; the model so far is in {written}" if written else ""
                raise KeyboardInterrupt(f"stopped after {step + 1} of {config.steps} steps{kept}")
        if mine is not None:
            model.save(mine / "model")
    processes.wait()
    run = Run(model, history, folder)
    emit("training", lambda: _told(run, config, label))
    return run


def _told(run: Run, config: TrainConfig, label: str) -> dict[str, Any]:
    """What came out, for those who listen."""
    last, held_out = run.history[-1], run.history.held_out
    measured, where = (held_out[-1], "held-out") if held_out else (last, "training")
    return {
        "text": f"{label}: {len(run.history)} steps, {where} loss {measured.loss:.4g}, accuracy {measured.accuracy:.4g}",
        "metric": f"{where} loss",
        "value": measured.loss,
        "unit": "nats",
        "held_out": bool(held_out),
        "seeds": [config.seed],
        "facts": {
            "first_loss": run.history[0].loss,
            "loss": last.loss,
            "accuracy": measured.accuracy,
            "config": config.to_dict(),
            "model": run.model.cfg.to_dict(),
            "folder": None if run.out is None else str(run.out),
        },
    }


def _held_out(task: Task, config: TrainConfig) -> Evaluation | None:
    if config.evaluate_every is None:
        return None
    batch = task.held_out(config.evaluate_size, config.seed)
    return Evaluation(task, batch, config.evaluate_every, config.batch_size)


@contextmanager
def _closing(trackers: Sequence[Tracker]) -> Generator[None]:
    with ExitStack() as stack:
        for tracker in trackers:
            stack.callback(tracker.close)
        yield
