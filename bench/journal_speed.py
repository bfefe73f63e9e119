"""How long the journal takes: an append, a recorded step, opening and listing at 10,000 steps and 2 GB of outputs.

Run by `make bench`; exits with 1 if a median is over its limit. Files lie in a temporary folder on this machine's
disk, so that the times are this disk's too. Smaller: `python bench/journal_speed.py 1000 0.2`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from unweave.journal import Journal, Note, verify
from unweave.journal.session_log import SessionLog

REPEATS = 7
LIMIT_APPEND_MS, LIMIT_LIST_MS = 10.0, 200.0


def milliseconds(work: Callable[[int], object], times: int) -> list[float]:
    """The time of each of so many calls."""
    taken: list[float] = []
    for number in range(times):
        begun = perf_counter()
        work(number)
        taken.append(1000 * (perf_counter() - begun))
    return taken


def step(log: SessionLog, number: int, output: bytes) -> None:
    """One cell as the recorder writes it: before it runs, what it prints, its picture, its end."""
    begun = log.step_started(
        n=number + 1, code=f"model.run_with_cache(tokens[{number}])", facts={"monotonic_ns": 0}
    )
    log.output(
        begun.id, n=1, sort="stream", data={"text/plain": f"step {number}\n"}, facts={"name": "stdout"}
    )
    log.output(begun.id, n=2, sort="display", data={"text/plain": output.hex()})
    log.journal.append(
        "step_ended", {"status": "ok", "monotonic_ns": 1}, session=log.id, about=begun.id, durable=False
    )


LISTING = """
from time import perf_counter
import sys
from unweave.journal import Journal
from unweave.journal.sessions import sessions
begun = perf_counter()
with Journal.open(sys.argv[1]) as journal:
    opened = perf_counter()
    found = sessions(journal)
    listed = perf_counter()
    steps = found[-1].steps()
    stepped = perf_counter()
    journal.search("cache 77")
    searched = perf_counter()
print(*(1000 * (b - a) for a, b in ((begun, opened), (opened, listed), (listed, stepped), (stepped, searched))))
"""


def listing(path: Path) -> list[float]:
    """Medians of opening, listing sessions, listing a session's steps and searching, each time in a fresh process."""
    rows = [
        subprocess.run(
            [sys.executable, "-c", LISTING, path], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(REPEATS)
    ]
    return [
        statistics.median(column) for column in zip(*(map(float, row.split()) for row in rows), strict=True)
    ]


def main() -> int:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    gigabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    over = False

    def report(name: str, median: float, limit: float | None = None, worst: float | None = None) -> None:
        nonlocal over
        over |= limit is not None and median > limit
        tail = "" if worst is None else f"   99%: {worst:.1f} ms"
        verdict = "" if limit is None else f"   limit {limit:.0f} ms: {'over' if median > limit else 'kept'}"
        print(f"{name:<46} {median:8.2f} ms{tail}{verdict}")

    def tell(name: str, taken: list[float], limit: float | None = None) -> None:
        report(name, statistics.median(taken), limit, sorted(taken)[int(0.99 * (len(taken) - 1))])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        with Journal.open(path, create=True) as journal:
            tell(
                "append a record, flushed to the disk",
                milliseconds(lambda n: journal.add(Note(f"note {n}")), 500),
                LIMIT_APPEND_MS,
            )
            tell(
                "append an entry of a session",
                milliseconds(lambda n: journal.append("output", {"n": n}, durable=False), 500),
                LIMIT_APPEND_MS,
            )
            log = SessionLog.begin(journal, title="bench", sort="script", facts={})
            size = int(gigabytes * 1e9 / steps / 2)  # in hexadecimal it is twice as long
            tell(
                "record a step with a small output",
                milliseconds(lambda n: step(log, n, os.urandom(500)), 500),
                LIMIT_APPEND_MS,
            )
            log = SessionLog.begin(journal, title="large", sort="script", facts={})
            tell(
                f"record a step with {2 * size / 1000:.0f} kB put out",
                milliseconds(lambda n: step(log, n, os.urandom(size)), steps),
                LIMIT_APPEND_MS,
            )
        total = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(
            f"\n{steps} steps, {total / 1e9:.2f} GB on the disk, {path.stat().st_size / 1e6:.0f} MB of it the database"
        )
        opening, listed, stepped, searched = listing(path)
        report("open", opening)
        report("list the sessions", listed)
        report(f"list the {steps} steps of one", stepped)
        report("open and list", opening + listed + stepped, LIMIT_LIST_MS)
        report("search", searched)
        with Journal.open(path) as journal:
            begun = perf_counter()
            assert verify(journal).ok
            print(f"verify, every blob read and hashed              {perf_counter() - begun:8.1f} s")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
