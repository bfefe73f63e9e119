"""What the doctor says of runs with planted faults, and of healthy ones: the confusion matrix of docs/doctor.md.

The rules and thresholds of the doctor were written on runs with d_model 16 and seeds below 10. This plants the same
faults at other sizes, other seeds and other vocabularies, and takes four minutes on one core. A planted run
that shows no spike has no symptom to explain: it is counted as such, and not as right or wrong. Run with --quick for
one run of each kind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from unweave.core.seeds import derive, generator
from unweave.tasks import Batch, PreviousToken, Task
from unweave.training import RunConfig, TrainingDiverged, train
from unweave.training.doctor import examine, examine_run
from unweave.training.doctor.explain import worth_it
from unweave.training.history import HISTORY, read_history

SEEDS = (201, 202, 203, 204, 205)
D_MODEL = (20, 40)
PREVIOUS = {"name": "previous-token", "d_vocab": 22, "n_ctx": 11}
BACK = {"name": "k-back", "k": 1, "d_vocab": 18, "n_ctx": 12}


def ramp(steps: int) -> dict[str, Any]:
    """A warmup that begins flat: the product of three."""
    one = {"name": "LinearWarmup", "steps": steps}
    return {
        "name": "Product",
        "first": {"name": "Product", "first": one, "second": one},
        "second": one,
    }


@dataclass(frozen=True)
class Poisoned(PreviousToken):
    """A stream in which the targets of one batch are drawn by lot."""

    poisoned: int = 0

    def batch(self, batch_size: int, seed: int) -> Batch:
        tokens, targets = super().batch(batch_size, seed)
        if seed == self.poisoned:
            targets = torch.randint(1, self.d_vocab, targets.shape, generator=generator(seed, "poison"))
        return Batch(tokens, targets)


@dataclass(frozen=True)
class Kind:
    """A fault, or health: what is planted, and the code of the finding that names it; None: no warning at all."""

    expected: str | None
    task: Mapping[str, Any]
    model: Mapping[str, Any]
    training: Mapping[str, Any]
    poisons: bool = False
    by_spikes: bool = False  # whether it is told from spikes, and needs one


HARD = "lr above the edge, beta2 0.999"
ONE_HEAD = {"n_layers": 1, "n_heads": 1, "act_fn": "relu"}
KINDS: dict[str, Kind] = {
    "maximum for minimum": Kind(
        "growing-learning-rate",
        BACK,
        ONE_HEAD,
        {
            "lr": 1e-3,
            "steps": 160,
            "schedule": {
                "name": "Larger",
                "first": {"name": "Ramp", "steps": 20},
                "second": {"name": "Constant"},
            },
        },
    ),
    "poisoned batch": Kind(
        "bad-batch", PREVIOUS, ONE_HEAD, {"lr": 1e-2, "steps": 200}, poisons=True, by_spikes=True
    ),
    "lr above the edge": Kind(
        "learning-rate-sharpness", BACK, ONE_HEAD, {"lr": 4e-2, "steps": 200}, by_spikes=True
    ),
    # The hard case: gradients outgrow this memory too, and only the experiment parts the two causes.
    HARD: Kind(
        "learning-rate-sharpness",
        BACK,
        ONE_HEAD,
        {"lr": 4e-2, "steps": 200, "betas": [0.9, 0.999]},
        by_spikes=True,
    ),
    # Long quiet, then a sudden rise of the gradient, which an average over the whole run does not follow.
    "beta2 too high": Kind(
        "second-moment-lag",
        PREVIOUS,
        {**ONE_HEAD, "initializer_range": 0.005},
        {
            "lr": 2e-2,
            "steps": 260,
            "betas": [0.9, 0.9999],
            "max_grad_norm": None,
            "schedule": ramp(250),
        },
        by_spikes=True,
    ),
    "clip never lets go": Kind(
        "clipping-never-lets-go", PREVIOUS, ONE_HEAD, {"lr": 3e-3, "steps": 60, "max_grad_norm": 1e-3}
    ),
    "positional shortcut": Kind(
        "positional-shortcut",
        {"name": "induction", "d_vocab": 32, "n_ctx": 19, "shortest": 9},
        ONE_HEAD,
        {"lr": 3e-3, "steps": 100},
    ),
    "healthy, previous token": Kind(None, PREVIOUS, ONE_HEAD, {"lr": 8e-3, "steps": 200}),
    "healthy, k-back": Kind(None, BACK, {**ONE_HEAD, "n_layers": 2}, {"lr": 3e-3, "steps": 160}),
    "healthy, histogram": Kind(None, {"name": "histogram"}, ONE_HEAD, {"lr": 3e-3, "steps": 120}),
}
NOTHING, NO_SYMPTOM = "nothing", "no spike"


@dataclass(frozen=True)
class Outcome:
    """What the doctor said of one run: by the evidence alone, and after its experiment."""

    kind: str
    d_model: int
    seed: int
    spikes: int
    evidence: str
    confirmed: str
    verdict: str
    seconds: float


def planted(kind: Kind, d_model: int, seed: int) -> tuple[RunConfig, Task]:
    """The run, and the task that it is really trained on."""
    training = {"batch_size": 16, "checkpoint_every": 25, "checkpoint_at": [0], "seed": seed, **kind.training}
    training.setdefault("schedule", {"name": "LinearWarmup", "steps": 20})
    model = {"d_model": d_model, "d_head": 16, "seed": seed, **kind.model}
    run = RunConfig.from_dict({"task": kind.task, "model": model, "training": training})
    if not kind.poisons:
        return run, run.task
    at = derive(seed, "poisoned step") % 60 + 120
    values = {k: v for k, v in kind.task.items() if k != "name"}
    return run, Poisoned(**values, poisoned=derive(run.training.seed, "train", at))


def examined(name: str, d_model: int, seed: int) -> Outcome:
    """Train it, and ask the doctor: the first warning is its answer, and the highest spike's is experimented on."""
    begun = time.monotonic()
    kind = KINDS[name]
    run, task = planted(kind, d_model, seed)
    own = task if kind.poisons else None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        with contextlib.suppress(TrainingDiverged):
            train(run.build(), task, run.training, out)
        spikes = len(worth_it(read_history(out / HISTORY), task))
        # The experiment is run on the highest spike alone.
        found = examine_run(out, own, most=1, confirming=True).findings
    before = examine(run).findings if kind.poisons else ()
    warned = [finding for finding in (*before, *found) if finding.severity == "warning"]
    answer, after, verdict = NOTHING, NOTHING, ""
    if warned:
        answer = after = warned[0].code
        told = warned[0].confirmation
        if told is not None:
            verdict = told["verdict"]
            # An experiment that can't tell leaves the evidence's word as it was.
            after = answer if told["cause"] == "unknown" else told["cause"]
    return Outcome(name, d_model, seed, spikes, answer, after, verdict, round(time.monotonic() - begun, 1))


def row_of(name: str) -> str:
    """The matrix' row: healthy runs share one."""
    return name if KINDS[name].expected else "healthy"


def table(found: Sequence[Outcome], after: bool) -> list[str]:
    """The matrix in Markdown; planted runs without the spike that would tell of them have a column of their own."""
    answers: dict[str, Counter[str]] = {}
    for one in found:
        said = one.confirmed if after else one.evidence
        silent = KINDS[one.kind].by_spikes and one.spikes == 0 and said == NOTHING
        answers.setdefault(row_of(one.kind), Counter())[NO_SYMPTOM if silent else said] += 1
    columns = sorted({said for row in answers.values() for said in row})
    lines = [f"| planted | {' | '.join(columns)} | right |", "|---" * (len(columns) + 2) + "|"]
    for row, said in answers.items():
        expected = next(k.expected or NOTHING for name, k in KINDS.items() if row_of(name) == row)
        asked = sum(said.values()) - said[NO_SYMPTOM]
        cells = " | ".join(str(said[column] or "") for column in columns)
        lines.append(f"| {row} | {cells} | {said[expected]} of {asked} |")
    return lines


def main() -> None:
    """Print both matrices; with --out, write every run's outcome too, and go on from what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each kind")
    parser.add_argument("--out", type=Path, help="a file of one JSON line a run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    done: list[Outcome] = []
    if options.out and options.out.exists():
        done = [Outcome(**json.loads(line)) for line in options.out.read_text().splitlines()]
    known = {(one.kind, one.d_model, one.seed): one for one in done}
    places = [(d_model, seed) for seed in SEEDS for d_model in D_MODEL]
    found: list[Outcome] = []
    for d_model, seed in places[:1] if options.quick else places:
        for name in KINDS:
            one = known.get((name, d_model, seed)) or examined(name, d_model, seed)
            found.append(one)
            print(*asdict(one).values(), file=sys.stderr, flush=True)
            if options.out and (name, d_model, seed) not in known:
                with options.out.open("a") as file:
                    file.write(json.dumps(asdict(one)) + "\n")
    for title, after in (("By the evidence alone", False), ("After the experiment", True)):
        print(f"\n{title}:\n", *table(found, after), sep="\n")


if __name__ == "__main__":
    main()
