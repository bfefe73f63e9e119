"""Running a grid: jobs to workers, attempts counted, results written once."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from unweave.core.errors import InputError
from unweave.core.files import require_folder, write_json_atomic
from unweave.training.grids.board import Board, State
from unweave.training.grids.crew import Crew
from unweave.training.grids.grid import Grid
from unweave.training.grids.job import Ended, Job
from unweave.training.grids.local import LocalCrew
from unweave.training.grids.outcome import Outcome
from unweave.training.grids.results import GridResults

GRID, ERRORS = "grid.json", "errors.jsonl"
LOOK = 0.5  # seconds between two looks at what the workers say, at most
Engine = Literal["local", "ray"]


def run_grid(
    grid: Grid,
    out: str | Path,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    threads: int = 1,
    retries: int = 2,
    address: str | None = None,
    watch: Callable[[Board], None] = lambda board: None,
) -> GridResults:
    """Train every run of a grid; called again with the same folder, it does what is left.

    `out` gets `grid.json`, `runs/NAME` with what `train` writes and an `outcome.json`, `errors.jsonl` with every
    attempt that failed, and at the end `results.csv` and `results.json`. NAME is the hash of the run's config:
    runs of that name that are over are not run again, also when the grid has grown since; those that were
    stopped or killed go on from their last checkpoint, to the bit (`train` says where that holds).

    Args:
        engine: "local": processes of this machine. "ray": tasks of a Ray cluster (`unweave[cluster]`).
        workers: processes, or tasks at once; by default as many as cores, of the cluster on Ray, over `threads`.
        threads: of each worker; a folder keeps the number it was begun with.
        retries: how often a run is begun again whose worker died or couldn't write; an error of the run
            itself is kept, and not tried again.
        address: of the Ray cluster; by default RAY_ADDRESS, or else one of this machine, begun for the call.
        watch: is given the standings about twice a second.

    Raises:
        InputError: for a folder that holds something else, or was begun with other threads.
        KeyboardInterrupt: after Ctrl-C, when every run has stopped with a checkpoint and the results so far
            are written. A second Ctrl-C ends at once; runs then go on from their checkpoint before.
    """
    out = Path(out)
    _require_numbers(workers=workers, threads=threads, retries=retries)
    if engine not in ("local", "ray"):
        raise InputError(wanted="the engine 'local' or 'ray'", got=repr(engine), remedy="name one of them")
    _prepare(out, grid, threads)
    members = {member.name: member for member in grid.members}
    over = {name: Outcome.read(out / "runs" / name, name) for name in members}
    finished: dict[str, State] = {
        name: outcome.state for name, outcome in over.items() if outcome is not None
    }
    waiting = deque(name for name in members if name not in finished)
    try:
        with closing(_crew(engine, out, workers, threads, address)) as crew:
            board, attempts = Board(grid.members, finished, crew.told), dict.fromkeys(members, 0)
            watch(board)
            try:
                while waiting or board.count("running"):
                    while waiting and crew.free() > 0:
                        name = waiting.popleft()
                        attempts[name] += 1
                        values = members[name].config.to_dict()
                        crew.start(Job(name, attempts[name], values, out.resolve() / "runs" / name, threads))
                        board.begin(name)
                    for ended in _noted(crew, board, out):
                        if ended.again and attempts[ended.name] <= retries:
                            waiting.appendleft(ended.name)
                            board.standings[ended.name].state = "waiting"
                    watch(board)
            except KeyboardInterrupt:
                crew.stop()
                while board.count("running"):
                    _noted(crew, board, out)
                    watch(board)
                done = board.count("finished", "diverged")
                raise KeyboardInterrupt(
                    f"stopped with {done} of {len(members)} runs done; the same call goes on with the others"
                ) from None
    finally:
        results = GridResults.of(grid.members, out, _errors(out))
        results.write()
    return results


def _noted(crew: Crew, board: Board, out: Path) -> list[Ended]:
    """Take in what has happened, and return the attempts that are over."""
    events = crew.events(LOOK)
    for event in events:
        board.note(event)
    ended = [event for event in events if isinstance(event, Ended)]
    with (out / ERRORS).open("a", encoding="utf-8") as file:
        for event in ended:
            if event.how in ("failed", "died"):
                line = {"run": event.name, "attempt": event.attempt, "at": round(time.time(), 3)}
                file.write(json.dumps({**line, "error": event.why}) + "\n")
    return ended


def _errors(out: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    path = out / ERRORS
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        error = json.loads(line)
        found.setdefault(error["run"], []).append(error["error"])
    return found


def _crew(engine: str, out: Path, workers: int | None, threads: int, address: str | None) -> Crew:
    if engine == "local":
        return LocalCrew(workers or max(1, (os.cpu_count() or 1) // threads), threads)
    from unweave.training.grids.cluster import RayCrew

    return RayCrew(address, workers, threads)


def _prepare(out: Path, grid: Grid, threads: int) -> None:
    require_folder(out, "the grid")
    path = out / GRID
    before: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "threads" in before:
        if before["threads"] != threads:
            raise InputError(
                wanted=f"threads {before['threads']}, with which the grid in {out} was begun, so that runs go on to the bit",
                got=str(threads),
                remedy=f"--threads {before['threads']} (threads=…), or another folder",
            )
    elif out.exists() and any(out.iterdir()):
        raise InputError(
            wanted="a new folder, or one of a grid",
            got=f"{out}, which holds other files",
            remedy="name another",
        )
    write_json_atomic(path, {"grid": grid.to_dict(), "threads": threads})


def _require_numbers(**numbers: int | None) -> None:
    least = {"retries": 0}
    for name, value in numbers.items():
        if value is not None and value < least.get(name, 1):
            raise InputError(
                wanted=f"a whole number of at least {least.get(name, 1)} for {name}",
                got=str(value),
                remedy=f"leave {name} out for the default",
            )
