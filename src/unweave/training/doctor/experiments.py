"""The experiments: a run gone on with from the checkpoint before a spike, with one thing changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from unweave.tasks import Task
from unweave.training.config import TrainConfig
from unweave.training.doctor.causes import LOWER
from unweave.training.doctor.diagnosis import Cause, Diagnosis
from unweave.training.doctor.explain import run_of
from unweave.training.doctor.replay import RECENT, Change, Replay
from unweave.training.doctor.witness import checkpoints_of
from unweave.training.history import StepRecord
from unweave.training.spikes import find_spikes

EARLY, AFTER = 10, 25  # steps before the onset and after the peak between which a spike is still that spike
# Changes too small to cure anything: a spike that goes with them too was an accident of roundings.
CONTROLS = (0.99, 1.01)  # times the learning rate

Verdict = Literal["confirmed", "refuted", "undecided", "impossible"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trial:
    """One replay with something changed.

    Args:
        said: what was changed.
        went: whether the spike did not come.
        highest: the highest loss between 10 steps before the onset and 25 after the peak.
        steps: that were replayed.
    """

    said: str
    went: bool
    highest: float
    steps: int


@dataclass(frozen=True)
class Confirmation:
    """What the experiments say of one spike.

    Args:
        verdict: of the diagnosis' own cause. "confirmed": the spike went with its experiment, and
            came with both controls; "refuted": it came all the same; "undecided": it went, but with
            a control too; "impossible": there is nothing to go on from.
        cause: the one whose experiment made the spike go, the diagnosis' own or another; "unknown" if
            none did, or a control did too.
        trials: the experiments, in their order.
        controls: with the learning rate 1% lower and 1% higher.
    """

    verdict: Verdict
    cause: Cause
    trials: tuple[Trial, ...] = ()
    controls: tuple[Trial, ...] = ()

    @property
    def said(self) -> str:
        """A sentence for people."""
        if not self.trials:
            return "no experiment: there is no checkpoint before the rise"
        last = self.trials[-1]
        stayed = "; ".join(f"{trial.said}: the spike came all the same" for trial in self.trials[:-1])
        end = f"{last.said}: the spike {'went' if last.went else 'came all the same'} (highest loss {last.highest:.3g})"
        came = sum(not control.went for control in self.controls)
        control = (
            f"; in {came} of {len(self.controls)} controls (1% of lr more or less) it came"
            if self.controls
            else ""
        )
        return "; ".join(filter(None, [stayed, end])) + control

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "verdict": self.verdict,
            "cause": self.cause,
            "said": self.said,
            "trials": [_finite(trial) for trial in self.trials],
            "controls": [_finite(trial) for trial in self.controls],
        }


def confirm(
    folder: str | Path,
    diagnosis: Diagnosis,
    task: Task | None = None,
    progress: Progress = lambda said, done, of: None,
) -> Confirmation:
    """Run the cheapest experiment on a spike's cause, and the next ones until the spike goes.

    Each goes on from the checkpoint that the diagnosis began from, to 25 steps after the spike; nothing is
    written to the run's folder.

    Args:
        task: the run's, if it is one of your own, which a file can't name.
        progress: told what is run, and how many steps of it are done, of how many.

    Raises:
        InputError: if the folder holds no run.
    """
    folder = Path(folder)
    history, task, config = run_of(folder, task)
    start = diagnosis.evidence.get("checkpoint")
    if start is None:
        return Confirmation("impossible", "unknown")
    bench = _Bench(checkpoints_of(folder)[start], diagnosis, history, task, config, progress)
    trials: list[Trial] = []
    for cause, said, change in _in_order(diagnosis, config):
        trials.append(bench.trial(said, change))
        if trials[-1].went:
            controls = tuple(bench.trial(f"control: lr × {by:g}", Change(lr=by)) for by in CONTROLS)
            if any(control.went for control in controls):
                return Confirmation("undecided", "unknown", tuple(trials), controls)
            own = cause == diagnosis.cause
            return Confirmation("confirmed" if own else "refuted", cause, tuple(trials), controls)
    return Confirmation("refuted", "unknown", tuple(trials))


def _in_order(diagnosis: Diagnosis, config: TrainConfig) -> list[tuple[Cause, str, Change]]:
    """The experiments of the suspicions, then those of causes that didn't show; the most specific first."""
    first: list[tuple[Cause, str, Change]] = [
        (s.cause, s.experiment.what, s.experiment.change) for s in diagnosis.suspicions
    ]
    known = {cause for cause, _, _ in first}
    rest: list[tuple[Cause, str, Change]] = [
        ("bad-batch", "without the batch of the onset", Change(without=frozenset({diagnosis.onset})))
    ]
    if config.betas[1] > RECENT:
        rest.append(("second-moment-lag", f"with beta2 {RECENT:g}", Change(beta2=RECENT)))
    rest.append(("learning-rate-sharpness", f"with {LOWER:g} times the learning rate", Change(lr=LOWER)))
    return [*first, *(one for one in rest if one[0] not in known)]


@dataclass(frozen=True)
class _Bench:
    checkpoint: Path
    diagnosis: Diagnosis
    history: Sequence[StepRecord]
    task: Task
    config: TrainConfig
    progress: Progress

    def trial(self, said: str, change: Change) -> Trial:
        """The run from the checkpoint on, changed; whether the spike comes."""
        spike, onset = self.diagnosis.spike, self.diagnosis.onset
        replay = Replay(self.checkpoint, self.task, self.config, change)
        start, end = replay.step, min(spike.step + AFTER + 1, self.config.steps)
        done = replay.to(end, lambda: self.progress(said, replay.step - start, end - start))
        losses = [record.loss for record in self.history[:start]]
        # A step that was left out, or that diverged, has a loss too: none, and without end.
        by_step = {step.step: step.loss for step in done}
        for step in range(start, end):
            losses.append(
                by_step.get(step, math.inf if step > replay.step else losses[-1] if losses else math.inf)
            )
        window = range(max(onset - EARLY, start), end)
        highest = max(losses[step] for step in window)
        # Halfway, on the logarithm, between the level that the spike rose from and its height.
        middle = math.sqrt(float(self.diagnosis.evidence["level before"]) * spike.loss)
        came = any(s.step in window and s.loss > middle for s in find_spikes(losses))
        return Trial(said, not came and math.isfinite(highest), highest, len(done))


def _finite(trial: Trial) -> dict[str, Any]:
    """JSON has no infinity."""
    return {**asdict(trial), "highest": trial.highest if math.isfinite(trial.highest) else None}
