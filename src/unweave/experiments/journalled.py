"""An experiment's run, with its claims written into a journal before it and what came of them after."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import unweave
from unweave.core.claims import Claim
from unweave.core.errors import InputError
from unweave.experiments.registry import NAMES, ExperimentRun, load_experiment
from unweave.journal import Experiment as Record
from unweave.journal import Journal, JournalError
from unweave.journal.claims import Declared, broke_off, declare, settle
from unweave.recorder.code_version import CodeVersion
from unweave.recorder.machine import device, versions


@dataclass(frozen=True)
class JournalledRun:
    """A finished run, and what the journal has of it.

    Args:
        run: what the experiment gave.
        declared: what was written before.
        first, last: the numbers of its entries, from the first claim to the last verdict.
        problem: why what came out could not be written; "" if it was. The run itself is in its folder.
    """

    run: ExperimentRun
    declared: Declared
    first: int
    last: int
    problem: str = ""


def claims_of(name: str) -> tuple[Claim, ...]:
    """The claims that an experiment tests, in order: CLAIMS in its module.

    Raises:
        InputError: for a name that is not known.
    """
    load_experiment(name)
    return tuple(import_module(NAMES[name]).CLAIMS)


def run_in_journal(
    name: str,
    journal: Journal,
    *,
    preset: str,
    seed: int,
    out: Path,
    progress: bool = False,
    seeds: int | None = None,
) -> JournalledRun:
    """Run an experiment whose claims stand in `journal` before it begins.

    A run that breaks off is written as such, and its predictions stay open.

    Args:
        name: of the experiment.
        journal: open to write.
        preset, seed, out, progress, seeds: as for the experiment's own `run`.

    Raises:
        InputError: as that does; nothing is written then if the name or the journal is at fault.
        JournalError: if the claims can't be written; the run does not begin then.
    """
    experiment, claims = load_experiment(name), claims_of(name)
    told = CodeVersion(Path.cwd()).now()["version"]
    commit = str(told.get("commit") or "")
    record = Record(
        f"{name}, preset {preset}",
        config={"experiment": name, "preset": preset, "seed": seed, "seeds": seeds, "out": out.name},
        # Without a number the preset decides: what was run over is told with the verdicts.
        seeds=() if seeds is None else tuple(range(seed, seed + seeds)),
        code_version=f"{commit}{' and changes' if told.get('dirty') else ''}" if commit else "",
        versions={**versions(), "unweave": unweave.__version__},
        device=device(),
    )
    first = journal.head.seq + 1
    declared = declare(journal, record, claims)
    try:
        run = experiment.run(preset=preset, seed=seed, out=out, progress=progress, seeds=seeds)
    except BaseException as error:
        _told_failure(journal, declared, error)
        raise
    problem = ""
    try:
        settle(journal, declared, run.claims, seeds=_seeds(run, record.seeds or (seed,)))
    except (InputError, JournalError) as error:
        # Hours of training are not thrown away for it: the results lie in their folder.
        problem = str(error)
    return JournalledRun(run, declared, first, journal.head.seq, problem)


def _told_failure(journal: Journal, declared: Declared, error: BaseException) -> None:
    try:
        broke_off(journal, declared, f"{type(error).__name__}: {error}".removesuffix(": "))
    except JournalError as second:
        error.add_note(f"The journal does not know of it: {second}")


def _seeds(run: ExperimentRun, asked: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds that a run was really over, where its results say so: a preset may ask for several."""
    said = run.results.get("seeds")
    return tuple(said) if isinstance(said, list) and all(isinstance(one, int) for one in said) else asked
